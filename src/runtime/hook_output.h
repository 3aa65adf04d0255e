// What a preStart hook says on its standard error: copied into prestart.log, and its end kept for the message.
//
// The one stream that a supervisor copies, because the task's status tells its last kHookOutputMax bytes, and in the
// log they stand between those of standard output. It lives as long as somebody may write to it.
#pragma once

#include <string>

#include "sys/fd.h"

namespace te {

class HookOutput {
 public:
  /// The writing end, for the hook; the caller closes it. Invalid: no pipe could be made, the log file has to do.
  Fd open(int dir);
  /// What is there now, as much as a pipe holds. To be called whenever SIGIO comes, and again at once when it says
  /// true.
  bool copy();
  /// The end of it all, so far.
  const std::string& tail() const { return tail_; }
  /// It will not be asked for any more; copying goes on.
  void drop_tail();

 private:
  Fd pipe_;
  Fd log_;
  std::string tail_;
  bool keep_ = true;
};

}  // namespace te
