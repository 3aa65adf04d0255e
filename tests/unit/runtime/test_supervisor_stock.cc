// The stock with a real zygote: the test program is it, under its name (main.cc).
#include "runtime/supervisor_stock.h"

#include "../support.h"
#include "children.h"
#include "runtime/supervisor.h"
#include "sys/process.h"

using namespace te;
using test::children_called;
using test::Tidy;

namespace {

struct Owner final : ChildHandler {
  void on_child_end(Child& child, const std::optional<sys::ChildEnd>& end) override { CHECK(stock->ended(child, end)); }
  SupervisorStock* stock = nullptr;
};

struct Machine : Tidy {
  Machine() {
    owner.stock = &stock;
    stock.open(self.get(), null.get());
    REQUIRE(reactor.turn(false));  // it knows the time from then on
    stock.expect(1);
    REQUIRE(until([&] { return stock.ready_at() == 0 && stock.has_one(); }));
    zygote = children_called(kZygoteName).front();
  }
  template <class Condition>
  bool until(Condition condition) {
    return test::eventually([&] {
      REQUIRE(reactor.turn(false));
      return condition();
    });
  }

  const test::SignalsBlocked blocked;
  Reactor reactor = std::move(Reactor::create()).value();
  sys::Spawner spawner;
  Fd self = sys::open_self().value();
  Fd null = Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  Owner owner;
  SupervisorStock stock{reactor, spawner, owner};
  pid_t zygote = 0;  ///< the elder, with one in stock
};

}  // namespace

TEST_CASE_FIXTURE(Machine, "stock: when something is short the zygote still tells of the child that it was asked for") {
  REQUIRE(::kill(zygote, SIGSTOP) == 0);
  stock.expect(2);
  stock.make_room();
  CHECK(!stock.has_one());
  CHECK(stock.awaits(zygote));
  CHECK(stock.ready_at() == 0);  // nobody waits for what will not be given
  CHECK(until([&] { return children_called(kZygoteName).empty(); }));
  CHECK(!stock.awaits(zygote));
  CHECK(!stock.strays_possible());
  // For a while there is none.
  stock.expect(1);
  CHECK(stock.ready_at() == 0);
  CHECK(children_called(kZygoteName).empty());
}

TEST_CASE_FIXTURE(Machine, "stock: a zygote that is killed when it was asked may leave a child that nobody knows") {
  REQUIRE(::kill(zygote, SIGSTOP) == 0);
  stock.expect(2);
  REQUIRE(::kill(zygote, SIGKILL) == 0);
  CHECK(until([&] { return children_called(kZygoteName).empty(); }));
  CHECK(stock.strays_possible());
}
