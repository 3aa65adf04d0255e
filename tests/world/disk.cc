#include "disk.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "fingerprint.h"

namespace te::world {

namespace {

constexpr int64_t kSector = 512;
constexpr int64_t kBlock = 4096;

int64_t blocks(int64_t size) { return (size + kBlock - 1) / kBlock * kBlock; }

void put(std::string& content, int64_t offset, std::string_view bytes) {
  const size_t end = static_cast<size_t>(offset) + bytes.size();
  if (content.size() < end) content.resize(end, '\0');
  content.replace(static_cast<size_t>(offset), bytes.size(), bytes);
}

void zero(std::string& content, int64_t from, int64_t to) {
  const auto end = static_cast<int64_t>(content.size());
  for (int64_t i = from; i < std::min(to, end); ++i) content[static_cast<size_t>(i)] = '\0';
}

void make(std::string& content, const DataChange& change) {
  switch (change.kind) {
    case DataChange::Kind::kWrite: return put(content, change.offset, change.bytes);
    case DataChange::Kind::kResize: return content.resize(static_cast<size_t>(change.size), '\0');
    case DataChange::Kind::kAllocate:
      if (static_cast<int64_t>(content.size()) < change.size) content.resize(static_cast<size_t>(change.size), '\0');
      return;
    case DataChange::Kind::kPunch: return zero(content, change.offset, change.offset + change.size);
  }
}

// Not at all, whole, only its length, only its first sectors, all but those.
void make_torn(std::string& content, const DataChange& change, Pick pick) {
  const auto size = static_cast<int64_t>(change.bytes.size());
  const bool write = change.kind == DataChange::Kind::kWrite;
  const bool tears = write && size > kSector;
  const int64_t cut = std::max(size / 2 / kSector * kSector, kSector);
  switch (pick(tears ? 5 : write ? 3 : 2)) {
    case 0: return;
    case 1: return make(content, change);
    case 2: return put(content, change.offset, std::string(change.bytes.size(), '\0'));
    case 3: return put(content, change.offset, std::string_view(change.bytes).substr(0, static_cast<size_t>(cut)));
    default:
      put(content, change.offset, std::string(change.bytes.size(), '\0'));
      return put(content, change.offset + cut, std::string_view(change.bytes).substr(static_cast<size_t>(cut)));
  }
}

}  // namespace

Disk::Disk() {
  Inode& root = inodes_[kRootIno];
  root.is_dir = true;
  root.links = 1;
}

Ino Disk::find(Ino dir, std::string_view name) const {
  const auto& entries = at(dir).entries;
  const auto found = entries.find(name);
  return found == entries.end() ? kNoIno : found->second;
}

void Disk::change(std::vector<Change::Entry> entries) {
  const uint64_t number = next_change_++;
  Change& made = changes_[number];
  for (const Change::Entry& entry : entries) {
    Inode& dir = at(entry.dir);
    uint64_t& last = dir.last_change[entry.name];
    if (last != 0) made.after.push_back(last);
    last = number;
    if (dir.touched_by.empty() || dir.touched_by.back() != number) dir.touched_by.push_back(number);
    dir.changed_at = now;
    if (entry.value == kNoIno) {
      dir.entries.erase(entry.name);
    } else {
      dir.entries.insert_or_assign(entry.name, entry.value);
      at(entry.value).changed_at = now;
    }
  }
  made.entries = std::move(entries);
}

void Disk::commit(uint64_t number) {
  const auto found = changes_.find(number);
  if (found == changes_.end()) return;
  const Change change = std::move(found->second);
  changes_.erase(found);
  for (const uint64_t earlier : change.after) commit(earlier);
  for (const Change::Entry& entry : change.entries) {
    Inode& dir = at(entry.dir);
    const auto last = dir.last_change.find(entry.name);
    if (last != dir.last_change.end() && last->second == number) dir.last_change.erase(last);
    if (entry.value == kNoIno) {
      dir.durable_entries.erase(entry.name);
    } else {
      dir.durable_entries.insert_or_assign(entry.name, entry.value);
    }
  }
}

void Disk::unlink_inode(Ino ino) {
  Inode& inode = at(ino);
  if (--inode.links == 0) orphans_.push_back(ino);
}

void Disk::closed(Ino ino) { --at(ino).opens; }

int Disk::create(Ino dir, std::string_view name, bool is_dir, Ino& made) {
  if (find(dir, name) != kNoIno) return EEXIST;
  if (at(dir).links == 0) return ENOENT;
  if (full) return ENOSPC;
  made = next_ino_++;
  Inode& inode = inodes_[made];
  inode.is_dir = is_dir;
  link(made);
  change({{dir, std::string(name), made}});
  return 0;
}

int Disk::unlink(Ino dir, std::string_view name, bool is_dir) {
  const Ino ino = find(dir, name);
  if (ino == kNoIno) return ENOENT;
  if (at(ino).is_dir != is_dir) return is_dir ? ENOTDIR : EISDIR;
  if (is_dir && !at(ino).entries.empty()) return ENOTEMPTY;
  change({{dir, std::string(name), kNoIno}});
  unlink_inode(ino);
  return 0;
}

int Disk::rename(Ino old_dir, std::string_view old_name, Ino new_dir, std::string_view new_name) {
  const Ino ino = find(old_dir, old_name);
  if (ino == kNoIno) return ENOENT;
  const Ino over = find(new_dir, new_name);
  if (over == ino) return 0;
  if (over != kNoIno) {
    if (at(over).is_dir != at(ino).is_dir) return at(over).is_dir ? EISDIR : ENOTDIR;
    if (at(over).is_dir && !at(over).entries.empty()) return ENOTEMPTY;
  }
  change({{old_dir, std::string(old_name), kNoIno}, {new_dir, std::string(new_name), ino}});
  at(ino).changed_at = now;
  if (over != kNoIno) unlink_inode(over);
  return 0;
}

int Disk::exchange(Ino a_dir, std::string_view a_name, Ino b_dir, std::string_view b_name) {
  const Ino a = find(a_dir, a_name);
  const Ino b = find(b_dir, b_name);
  if (a == kNoIno || b == kNoIno) return ENOENT;
  change({{a_dir, std::string(a_name), b}, {b_dir, std::string(b_name), a}});
  return 0;
}

void Disk::note(Ino file, DataChange change) {
  Inode& inode = at(file);
  if (!inode.dirty) {
    inode.dirty = true;
    inode.platter = inode.data;
  }
  make(inode.data, change);
  inode.changed_at = now;
  inode.changes.push_back(std::move(change));
}

int Disk::write(Ino file, int64_t offset, std::string_view bytes) {
  Inode& inode = at(file);
  const int64_t end = blocks(offset + static_cast<int64_t>(bytes.size()));
  if (end > inode.allocated) {
    if (full) return ENOSPC;
    inode.allocated = end;
  }
  note(file, {DataChange::Kind::kWrite, offset, 0, std::string(bytes)});
  return 0;
}

int Disk::resize(Ino file, int64_t size) {
  note(file, {DataChange::Kind::kResize, 0, size, {}});
  at(file).allocated = std::min(at(file).allocated, blocks(size));
  return 0;
}

int Disk::allocate(Ino file, int64_t size) {
  if (full && blocks(size) > at(file).allocated) return ENOSPC;
  at(file).allocated = std::max(at(file).allocated, blocks(size));
  note(file, {DataChange::Kind::kAllocate, 0, size, {}});
  return 0;
}

int Disk::punch(Ino file, int64_t from, int64_t to) {
  note(file, {DataChange::Kind::kPunch, from, to - from, {}});
  at(file).allocated = std::max<int64_t>(0, at(file).allocated - (to - from));
  return 0;
}

void Disk::sync(Ino ino) {
  Inode& inode = at(ino);
  if (journal == Journal::kOrdered) {
    while (!changes_.empty()) commit(changes_.begin()->first);
  }
  if (inode.is_dir) {
    const std::vector<uint64_t> touched = std::exchange(inode.touched_by, {});
    for (const uint64_t number : touched) commit(number);
    return;
  }
  for (const DataChange& change : inode.changes) make(inode.platter, change);
  inode.changes.clear();
  if (inode.platter != inode.data) return;  // a sync that failed has lost something
  inode.dirty = false;
  inode.platter.clear();
}

void Disk::sync_all() {
  while (!changes_.empty()) commit(changes_.begin()->first);
  for (auto& [ino, inode] : inodes_) {
    inode.touched_by.clear();
    if (inode.dirty) sync(ino);
  }
  // The names are durable too, so nothing leads to these any more.
  std::vector<Ino> kept;
  for (const Ino ino : std::exchange(orphans_, {})) {
    if (at(ino).links > 0) continue;
    if (at(ino).opens > 0) {
      kept.push_back(ino);
    } else {
      inodes_.erase(ino);
    }
  }
  orphans_ = std::move(kept);
}

void Disk::lose_changes(Ino file) { at(file).changes.clear(); }

void Disk::copy_tree(const Disk& from, Ino ino, Pick pick) {
  const Inode& source = from.at(ino);
  Inode& copy = at(ino);
  copy.is_dir = source.is_dir;
  copy.changed_at = source.changed_at;
  if (!source.is_dir) {
    copy.attributes = source.attributes;
    copy.data = source.dirty ? source.platter : source.data;
    for (const DataChange& change : source.changes) make_torn(copy.data, change, pick);
    copy.allocated = std::max(blocks(static_cast<int64_t>(copy.data.size())), source.allocated);
    return;
  }
  copy.entries = copy.durable_entries;
  for (const auto& [name, child] : copy.durable_entries) {
    Inode& inode = inodes_[child];
    if (inode.links++ == 0) copy_tree(from, child, pick);
  }
}

Disk Disk::survivor(Pick pick) const {
  Disk out;
  out.journal = journal;
  out.now = now;
  out.next_ino_ = next_ino_;
  // Which changes of names were made, each only with those before it.
  std::set<uint64_t> lost;
  std::map<Ino, std::map<std::string, Ino, std::less<>>> changed;
  for (const auto& [number, change] : changes_) {
    const auto is_lost = [&](uint64_t earlier) { return lost.contains(earlier); };
    const bool impossible = std::any_of(change.after.begin(), change.after.end(), is_lost) ||
                            (journal == Journal::kOrdered && !lost.empty());
    if (impossible || pick(2) == 0) {
      lost.insert(number);
      continue;
    }
    for (const Change::Entry& entry : change.entries) changed[entry.dir].insert_or_assign(entry.name, entry.value);
  }
  for (const auto& [ino, inode] : inodes_) {
    if (!inode.is_dir) continue;
    auto& entries = out.inodes_[ino].durable_entries;
    entries = inode.durable_entries;
    for (const auto& [name, value] : changed[ino]) {
      if (value == kNoIno) {
        entries.erase(name);
      } else {
        entries.insert_or_assign(name, value);
      }
    }
  }
  out.copy_tree(*this, kRootIno, pick);
  std::erase_if(out.inodes_, [](const auto& one) { return one.second.links == 0; });
  return out;
}

uint64_t Disk::fingerprint() const {
  Fingerprint out;
  const auto walk = [&](const auto& self, Ino ino) -> void {
    const Inode& inode = at(ino);
    for (const auto& [name, value] : inode.attributes) {
      out.mix(name);
      out.mix(value);
    }
    if (!inode.is_dir) {
      out.mix(inode.data);
      return;
    }
    for (const auto& [name, child] : inode.entries) {
      out.mix(name);
      self(self, child);
    }
    out.mix("/");
  };
  walk(walk, kRootIno);
  return out.value();
}

std::string Disk::listing() const {
  std::string out;
  const auto walk = [&](const auto& self, Ino ino, const std::string& path) -> void {
    const Inode& inode = at(ino);
    out += "      " + path;
    if (!inode.is_dir) {
      out += ": " + std::string(inode.data.substr(0, inode.data.find('\0')).substr(0, 60));
      if (out.ends_with('\n')) out.pop_back();
    }
    out += "\n";
    for (const auto& [name, child] : inode.entries) self(self, child, path + "/" + name);
  };
  walk(walk, kRootIno, "");
  return out;
}

}  // namespace te::world
