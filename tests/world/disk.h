// A disk in memory that knows what is durable: files and directories as programs see them (the page cache), and beside
// them what a power loss would leave.
//
// The rules are POSIX's, taken strictly (fsync(2), rename(2)): data of a file is there once that file was synced, and
// else each write of it may be there, partly there, zeros, or not at all. An entry of a directory is there once the
// directory was synced; syncing the file does not help. Changes of different names are lost independently of each
// other, but a rename is one step, and a change is never there without the earlier ones of the same name. With
// Journal::kOrdered entries are lost from the end only, and every sync makes all earlier ones durable, as ext4 does it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/time.h"

namespace te::world {

using Ino = uint32_t;
constexpr Ino kNoIno = 0;
constexpr Ino kRootIno = 1;

enum class Journal : uint8_t { kStrict, kOrdered };

/// A change of a file's content that is not durable yet.
struct DataChange {
  enum class Kind : uint8_t { kWrite, kResize, kAllocate, kPunch };
  Kind kind;
  int64_t offset;
  int64_t size;       ///< the new one (kResize), or how many bytes
  std::string bytes;  ///< kWrite
};

struct Inode {
  bool is_dir = false;
  uint32_t links = 0;  ///< names in the page cache
  uint32_t opens = 0;
  WallMicros changed_at = 0;
  int flock_holder = 0;  ///< number of an open description; 0: free

  // A file.
  /// xattr(7); kept by every power loss. One that is lost is as if its writer had been killed before.
  std::map<std::string, std::string, std::less<>> attributes;
  std::string data;
  int64_t allocated = 0;
  bool dirty = false;  ///< `platter` is another one than `data`
  std::string platter;
  std::vector<DataChange> changes;  ///< from `platter` on; what failed to be written is in neither

  // A directory.
  std::map<std::string, Ino, std::less<>> entries;
  std::map<std::string, Ino, std::less<>> durable_entries;
  std::map<std::string, uint64_t, std::less<>> last_change;  ///< of a name, not durable yet
  std::vector<uint64_t> touched_by;                          ///< changes, some of which may be durable by now
};

/// Says which of so many possibilities it is, from 0 on.
using Pick = FunctionRef<uint32_t(uint32_t)>;

class Disk {
 public:
  Disk();

  Inode& at(Ino ino) { return inodes_.find(ino)->second; }
  bool has(Ino ino) const { return inodes_.contains(ino); }
  const Inode& at(Ino ino) const { return inodes_.find(ino)->second; }
  Ino find(Ino dir, std::string_view name) const;

  // All answer 0 or an errno. `now` is the inode's time of change.
  int create(Ino dir, std::string_view name, bool is_dir, Ino& made);
  int unlink(Ino dir, std::string_view name, bool is_dir);
  int rename(Ino old_dir, std::string_view old_name, Ino new_dir, std::string_view new_name);
  int exchange(Ino a_dir, std::string_view a_name, Ino b_dir, std::string_view b_name);
  int write(Ino file, int64_t offset, std::string_view bytes);
  int resize(Ino file, int64_t size);
  int allocate(Ino file, int64_t size);
  int punch(Ino file, int64_t from, int64_t to);
  void sync(Ino ino);
  /// The kernel has written everything out by itself, or was told to (syncfs(2)).
  void sync_all();
  /// A sync that failed: what was to be written is taken for written, and is not (as Linux does it).
  void lose_changes(Ino file);

  void opened(Ino ino) { ++at(ino).opens; }
  void closed(Ino ino);

  /// What is there after a power loss.
  Disk survivor(Pick pick) const;
  /// The same for the same tree of names and contents.
  uint64_t fingerprint() const;
  /// For people: a line a name.
  std::string listing() const;
  size_t files() const { return inodes_.size(); }

  Journal journal = Journal::kStrict;
  bool full = false;  ///< no new block
  WallMicros now = 0;

 private:
  struct Change {
    struct Entry {
      Ino dir;
      std::string name;
      Ino value;  ///< kNoIno: the name goes
    };
    std::vector<Entry> entries;
    std::vector<uint64_t> after;  ///< those of the same names before it
  };

  void change(std::vector<Change::Entry> entries);
  void commit(uint64_t number);
  void link(Ino ino) { ++at(ino).links; }
  void unlink_inode(Ino ino);
  void note(Ino file, DataChange change);
  void copy_tree(const Disk& from, Ino ino, Pick pick);

  std::map<Ino, Inode> inodes_;
  std::map<uint64_t, Change> changes_;  ///< of directories, not durable yet
  std::vector<Ino> orphans_;
  Ino next_ino_ = kRootIno + 1;
  uint64_t next_change_ = 1;
};

}  // namespace te::world
