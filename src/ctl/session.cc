#include "ctl/session.h"

#include "base/size.h"
#include "base/text.h"
#include "ctl/ctl.h"
#include "ctl/output.h"
#include "sys/fs.h"
#include "sys/net.h"

namespace te::ctl {

namespace {

Result<std::string> read_token(const std::string& path) {
  const Fd file = TRY(sys::open_at(AT_FDCWD, path, O_RDONLY));
  const std::string token = TRY(sys::read_stream(file.get(), 4 * kKiB));
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = token.find_first_not_of(kBlanks);
  if (begin == std::string::npos) return invalid("there is no token in " + path);
  return token.substr(begin, token.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace

Result<Server> server_of(const Options& options) {
  Server server;
  server.address = address_of(options.server);
  const Result<void> good = sys::check_listen_address(server.address);
  if (!good) return invalid("--server (TASKCTL_SERVER): \"" + options.server + "\": " + good.error().context);
  if (options.token_file.empty()) return server;
  Result<std::string> token = read_token(options.token_file);
  if (!token) return invalid("--token-file (TASKCTL_TOKEN_FILE): " + token.error().text());
  server.token = std::move(token).value();
  return server;
}

std::string task_path(std::string_view name, std::string_view rest) {
  std::string path("/tasks/");
  append_escaped(path, name);
  return path.append(rest);
}

int fail(const Error& error) {
  complain(error.text());
  return error.kind == ErrorKind::kInvalid ? kFailed : kUnreachable;
}

int fail(const Answer& answer) {
  complain(error_message(answer.body));
  return answer.status == 404 ? kNotFound : kFailed;
}

}  // namespace te::ctl
