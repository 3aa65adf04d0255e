// TaskRouter: each task to the runtime of its kind.
#pragma once

#include "task/runtime.h"

namespace te {

class TaskRouter final : public Runtime {
 public:
  TaskRouter(Runtime& processes, Runtime& containers) : processes_(processes), containers_(containers) {}

  void expect_start(const Task& task, size_t coming) override { of(task).expect_start(task, coming); }
  bool can_start(const Task& task) override { return of(task).can_start(task); }
  Result<bool> start(const Task& task, int32_t attempt) override { return of(task).start(task, attempt); }
  Result<bool> adopt(const Task& task) override { return of(task).adopt(task); }
  void stop(const Task& task) override { of(task).stop(task); }
  void sweep(const Task& task) override { of(task).sweep(task); }
  void wake(const Task& task) override { of(task).wake(task); }
  void sweep_by_mark(const Task& task) override { of(task).sweep_by_mark(task); }
  uint32_t count_leftovers(const Task& task) override { return of(task).count_leftovers(task); }
  Result<void> take_step(const Task& task) override { return of(task).take_step(task); }
  void empty_trash() override { processes_.empty_trash(); }

 private:
  Runtime& of(const Task& task) { return task.spec.pod != nullptr ? containers_ : processes_; }

  Runtime& processes_;
  Runtime& containers_;
};

}  // namespace te
