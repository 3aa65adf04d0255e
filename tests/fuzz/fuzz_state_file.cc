// Fuzzes the state files' decoders. Whatever is on disk is taken or called corrupt; what is taken is written and read
// back as the same.
//
// Input: the first byte chooses the kind of file (its value modulo 3) and whether the rest gets a right checksum
// (below 128: it does, in place of the last bytes, so that mutations reach what stands behind the checksum); the rest
// is the file.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/crc32c.h"
#include "codec/state_file.h"

namespace {

void must(bool condition) {
  if (!condition) std::abort();
}

std::string sealed(std::string_view file) {
  std::string text(file.substr(0, file.size() - std::min(file.size(), te::kTrailerSize)));
  const uint32_t sum = te::crc32c(text);
  text += ",\"crc32c\":\"";
  te::append_hex32(text, sum);
  text += "\"}\n";
  return text;
}

template <class T>
te::Result<T> decode(te::Result<T> (*decoder)(te::JsonParser&, te::PaddedText), std::string_view file) {
  te::JsonParser parser;
  std::vector<char> bytes(file.begin(), file.end());
  bytes.resize(file.size() + te::kJsonPadding, '}');
  te::Result<T> result = decoder(parser, {bytes.data(), file.size()});
  // The reasons that a reader has are the file's, whatever they were on the way.
  must(result.ok() || (result.error().kind == te::ErrorKind::kCorrupt && !result.error().text().empty()));
  return result;
}

void try_task(std::string_view file) {
  te::Result<te::TaskFile> read = decode(te::decode_task_file, file);
  if (!read) return;
  must(te::valid_task_name(read->name) && !read->uid.empty() && read->sequence != 0);
  te::Task task;
  task.name = read->name;
  task.uid = read->uid;
  task.sequence = read->sequence;
  task.accepted_at = read->accepted_at;
  task.spec = std::move(read->spec);
  const std::string written = te::encode_task_file(task);
  const te::Result<te::TaskFile> again = decode(te::decode_task_file, written);
  must(again.ok() && again->uid == task.uid && again->sequence == task.sequence &&
       again->accepted_at == task.accepted_at && te::same_spec(again->spec, task.spec));
}

void try_run(std::string_view file) {
  const te::Result<te::RunRecord> read = decode(te::decode_run, file);
  if (!read) return;
  must(read->supervisor.pid > 0 && read->attempt >= 1);
  const std::string written = te::encode_run(*read);
  const te::Result<te::RunRecord> again = decode(te::decode_run, written);
  must(again.ok() && te::encode_run(*again) == written);
}

void try_exit(std::string_view file) {
  const te::Result<te::ExitRecord> read = decode(te::decode_exit, file);
  if (!read) return;
  const std::string written = te::encode_exit(*read);
  must(written.size() <= te::kExitRecordMax);
  const te::Result<te::ExitRecord> again = decode(te::decode_exit, written);
  must(again.ok() && again->cause == read->cause && again->wait_status == read->wait_status &&
       again->finished_at == read->finished_at && read->object.starts_with(again->object.substr(0, 1)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view raw(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string file = data[0] < 128 ? sealed(raw) : std::string(raw);
  switch (data[0] % 3) {
    case 0: try_task(file); break;
    case 1: try_run(file); break;
    default: try_exit(file); break;
  }
  return 0;
}
