#include "base/time.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace te {

namespace {

struct CivilTime {
  int64_t year;
  unsigned month, day, hour, minute, second, weekday;  // weekday: 0 is Sunday
};

// Days to civil date by shifting the year's start to 1 March, so that the leap day comes last.
CivilTime civil(WallMicros at) {
  int64_t seconds = at / 1'000'000;
  if (at % 1'000'000 < 0) --seconds;
  int64_t days = seconds / 86'400;
  int64_t rest = seconds % 86'400;
  if (rest < 0) {
    rest += 86'400;
    --days;
  }
  const int64_t shifted = days + 719'468;  // days since 0000-03-01
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
  const auto day_of_era = static_cast<unsigned>(shifted - era * 146'097);
  const unsigned year_of_era = (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted_month = (5 * day_of_year + 2) / 153;
  CivilTime out{};
  out.day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  out.month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  out.year = static_cast<int64_t>(year_of_era) + era * 400 + (out.month <= 2 ? 1 : 0);
  out.hour = static_cast<unsigned>(rest / 3'600);
  out.minute = static_cast<unsigned>(rest % 3'600 / 60);
  out.second = static_cast<unsigned>(rest % 60);
  out.weekday = static_cast<unsigned>(((days + 4) % 7 + 7) % 7);
  return out;
}

void append_padded(std::string& out, int64_t value, int width) {
  std::array<char, 20> digits;
  int count = 0;
  do {
    digits[static_cast<size_t>(count++)] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value > 0);
  while (count < width) digits[static_cast<size_t>(count++)] = '0';
  std::reverse(digits.begin(), digits.begin() + count);
  out.append(digits.data(), static_cast<size_t>(count));
}

}  // namespace

// In one piece: a list of ten thousand tasks has twenty thousand times in it.
void append_rfc3339(std::string& out, WallMicros at) {
  const CivilTime time = civil(at);
  append_padded(out, time.year, 4);
  std::array<char, 16> rest = {'-', '0', '0', '-', '0', '0', 'T', '0', '0', ':', '0', '0', ':', '0', '0', 'Z'};
  size_t place = 1;
  for (const unsigned two : {time.month, time.day, time.hour, time.minute, time.second}) {
    rest[place] = static_cast<char>('0' + two / 10);
    rest[place + 1] = static_cast<char>('0' + two % 10);
    place += 3;
  }
  out.append(rest.data(), rest.size());
}

void append_http_date(std::string& out, WallMicros at) {
  constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  constexpr size_t kName = 3;
  const CivilTime time = civil(at);
  const size_t begin = out.size();
  out += "Day, 00 Mon 0000 00:00:00 GMT";
  char* const text = out.data() + begin;
  kDays.copy(text, kName, time.weekday * kName);
  kMonths.copy(text + 8, kName, (time.month - 1) * kName);
  const auto year = static_cast<unsigned>(time.year);
  size_t place = 5;
  for (const unsigned two : {time.day, year / 100, year % 100, time.hour, time.minute, time.second}) {
    text[place] = static_cast<char>('0' + two / 10 % 10);
    text[place + 1] = static_cast<char>('0' + two % 10);
    place += place == 5 ? 7 : place == 12 ? 2 : 3;
  }
}

}  // namespace te
