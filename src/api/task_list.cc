#include "api/task_list.h"

#include <utility>

#include "base/size.h"
#include "codec/task_json.h"
#include "wire/json_writer.h"

namespace te {

namespace {

class ListBody final : public BodySource {
 public:
  ListBody(const Manager& manager, const std::vector<const Task*>& tasks) : manager_(manager) {
    ids_.reserve(tasks.size());
    for (const Task* task : tasks) ids_.push_back(task->sequence);
  }

  bool next(std::string& out) override {
    constexpr size_t kPiece = 128 * kKiB;
    const size_t begin = out.size();
    out += std::exchange(first_, {});
    if (at_ == 0) out += '[';
    while (at_ < ids_.size() && out.size() - begin < kPiece) {
      const Task* task = manager_.find_id(ids_[at_++]);
      if (task == nullptr) continue;
      if (written_) out += ',';
      written_ = true;
      JsonWriter json(out);
      write_task(json, *task);
    }
    if (at_ == ids_.size()) out += ']';
    return true;
  }
  bool done() const override { return at_ == ids_.size(); }

  /// A piece that next() has given, and is to give again.
  void take_back(std::string& piece) { first_.swap(piece); }

 private:
  const Manager& manager_;
  std::vector<uint64_t> ids_;
  std::string first_;
  size_t at_ = 0;
  bool written_ = false;
};

}  // namespace

void answer_with_list(const Manager& manager, HttpResponse& response) {
  auto list = std::make_unique<ListBody>(manager, manager.list());
  list->next(response.body);
  if (list->done()) return;
  list->take_back(response.body);
  response.stream = std::move(list);
  response.live = true;
}

}  // namespace te
