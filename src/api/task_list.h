// The list of all tasks, as the body of an answer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/response.h"
#include "task/manager.h"

namespace te {

/// Fills the response. A list of one piece is written at once; a long one piece by piece, as its client reads: who asks
/// for ten thousand tasks, or for big ones, and does not read them costs some ids and a piece, and no turn of the loop
/// is long. Its order is that of the moment of the request; each task is told as it is when its turn comes, and one
/// that is gone by then is left out.
void answer_with_list(const Manager& manager, HttpResponse& response);

}  // namespace te
