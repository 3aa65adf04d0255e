#include "sys/fd.h"

#include <unistd.h>

namespace te::sys {

void close_fd(int fd) { ::close(fd); }

}  // namespace te::sys
