// What every command needs: the server that the options name, and complaints with their exit status.
#pragma once

#include <string>
#include <string_view>

#include "ctl/client.h"
#include "ctl/options.h"

namespace te::ctl {

/// Address, and the token from its file.
Result<Server> server_of(const Options& options);

/// "/tasks/NAME" with `rest` behind it, which is taken as it is.
std::string task_path(std::string_view name, std::string_view rest = {});

/// Complains and answers the exit status.
int fail(const Error& error);
int fail(const Answer& answer);

}  // namespace te::ctl
