#include "store/record_files.h"

#include "sys/atomic_file.h"
#include "sys/fs.h"

namespace te {

Result<TaskFile> read_task_file(RecordReader& reader, int dir, std::string_view path) {
  const sys::ReadSize read = TRY(sys::read_file_at(dir, path, reader.buffer, kTaskFileMax, kJsonPadding));
  return decode_task_file(reader.parser, PaddedText{reader.buffer.data(), read.size});
}

Result<RunRecord> read_run_file(RecordReader& reader, int dir, std::string_view path) {
  const Fd file = TRY(sys::open_regular_at(dir, path, O_RDONLY));
  const sys::ReadSize read = TRY(sys::read_file(file.get(), path, reader.buffer, kRecordMax, kJsonPadding));
  RunRecord run = TRY(decode_run(reader.parser, PaddedText{reader.buffer.data(), read.size}));
  if (run.execed_at != 0) return run;
  if (const std::optional<std::string> note = sys::attribute(file.get(), kExecedNote)) decode_execed(*note, run);
  return run;
}

Result<ExitRecord> read_exit_file(RecordReader& reader, int dir, std::string_view path) {
  const Fd file = TRY(sys::open_regular_at(dir, path, O_RDONLY));
  const sys::ReadSize read = TRY(sys::read_file(file.get(), path, reader.buffer, kRecordMax, kJsonPadding));
  ExitRecord end = TRY(decode_exit(reader.parser, PaddedText{reader.buffer.data(), read.size}));
  end.durable = sys::is_known_durable(file.get());
  return end;
}

}  // namespace te
