// What happens in a directory, as events (inotify(7)).
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "sys/fd.h"

namespace te::sys {

/// Reports changed attributes of the files in directories, and writes to files.
class Notifier {
 public:
  Result<void> open();
  int fd() const { return fd_.get(); }  ///< readable when there are events
  /// A number that names the directory in events. ENOSPC: the user's limit of watches is reached.
  Result<int> add(const char* directory);
  /// The same for a file that is written to; the same file has the same number again.
  Result<int> add_written(const char* file);
  void remove(int number);

  enum class Change : uint8_t {
    kAttributes,  ///< of a file in the directory: mode, owner, times, xattr(7)
    kWritten,     ///< the file
    kLost,        ///< some events were; the number says nothing: look everywhere
  };

  class Visitor {
   public:
    /// `name` is of the file in the directory, and empty where the file itself is watched.
    virtual void visit(int number, Change change, std::string_view name) = 0;

   protected:
    ~Visitor() = default;
  };
  /// A bounded number of waiting events; what is left makes fd() readable again. False: there were none.
  bool read(Visitor& visitor);

 private:
  Fd fd_;
};

}  // namespace te::sys
