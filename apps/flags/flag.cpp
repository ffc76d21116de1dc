#include "apps/flags/flag.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "apps/flags/flag_lists.h"
#include "apps/flags/options.h"
#include "core/check.h"
#include "core/text.h"

namespace sigma::app {
namespace {

template <class... Args>
[[noreturn]] void refuse(const std::string& flag, fmt::format_string<Args...> format, Args&&... args) {
  throw_error(ErrorKind::usage, flag, fmt::format(format, std::forward<Args>(args)...));
}

// A check of numbers, also of those that are in a text.
FlagCheck number_check(std::function<bool(double)> good, std::string wanted) {
  return {[=](const std::string& flag, double value) {
            if (!good(value)) refuse(flag, "expected {}, got {}", wanted, value);
          },
          [=](const std::string& flag, const std::string& item) {
            if (!good(parse_number(flag, item))) refuse(flag, "expected {}, got {}", wanted, item);
          }};
}

template <class T>
bool whole(const std::string& text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool real(const std::string& text, double& value) {
  if (text.empty() || std::isspace(static_cast<unsigned char>(text[0]))) return false;
  char* end = nullptr;
  value = std::strtod(text.c_str(), &end);
  bool overflows = std::isinf(value) && text.find_first_of("0123456789") != text.npos;
  return end == text.c_str() + text.size() && !overflows;
}

bool yes_or_no(const std::string& text, bool& value) {
  value = text == "true" || text == "on" || text == "yes" || text == "1";
  return value || text == "false" || text == "off" || text == "no" || text == "0";
}

}  // namespace

FlagCheck at_least(double least) {
  return number_check([=](double v) { return v >= least; }, fmt::format("at least {}", least));
}
FlagCheck at_most(double most) {
  return number_check([=](double v) { return v <= most; }, fmt::format("at most {}", most));
}
FlagCheck above(double bound, std::string wanted) {
  return number_check([=](double v) { return v > bound; }, std::move(wanted));
}
FlagCheck below(double bound, std::string wanted) {
  return number_check([=](double v) { return v < bound; }, std::move(wanted));
}
FlagCheck between(double least, double most, std::string wanted) {
  return number_check([=](double v) { return v >= least && v <= most; }, std::move(wanted));
}
FlagCheck between_open(double bound, double most, std::string wanted) {
  return number_check([=](double v) { return v > bound && v <= most; }, std::move(wanted));
}
FlagCheck finite(std::string wanted) {
  return number_check([](double v) { return std::isfinite(v); }, std::move(wanted));
}
FlagCheck whole_number() {
  return number_check([](double v) { return v == std::floor(v); }, "a whole number");
}
FlagCheck on_or_off() {
  return {{}, [](const std::string& flag, const std::string& item) { parse_switch(flag, item); }};
}
FlagCheck named(const char* one, const char* other) {
  return {{}, [=](const std::string& flag, const std::string& item) {
            if (item != one && item != other) refuse(flag, "expected {} or {}, got \"{}\"", one, other, item);
          }};
}
FlagCheck one_of(const std::vector<std::string>& names) {
  return {{}, [=](const std::string& flag, const std::string& item) {
            if (std::find(names.begin(), names.end(), item) == names.end())
              refuse(flag, "unknown kind \"{}\", expected one of {}", item, join(names, ", "));
          }};
}

FlagCheck taken_by(std::function<void(const std::string& text)> parse) {
  return {{}, [=](const std::string& flag, const std::string& item) {
            try {
              parse(item);
            } catch (const Error& e) { throw e.at(flag); }
          }};
}

const char* Flag::wanted() const {
  struct {
    const char* operator()(const bool*) const { return "true or false"; }
    const char* operator()(const int*) const { return "a whole number"; }
    const char* operator()(const int64_t*) const { return "a whole number"; }
    const char* operator()(const uint64_t*) const { return "a whole number"; }
    const char* operator()(const std::optional<int64_t>*) const { return "a whole number"; }
    const char* operator()(const double*) const { return "a number"; }
    const char* operator()(const std::optional<double>*) const { return "a number"; }
    const char* operator()(const std::vector<double>*) const { return "numbers"; }
    const char* operator()(const std::string*) const { return "a value"; }
    const char* operator()(const std::vector<std::string>*) const { return "a value"; }
  } of;
  return std::visit(of, value);
}

std::string Flag::one_text() const {
  struct {
    std::string operator()(const bool* v) const { return *v ? "true" : "false"; }
    std::string operator()(const std::string* v) const { return *v; }
    std::string operator()(const std::vector<double>* v) const { return join(*v, ","); }
    std::string operator()(const std::vector<std::string>* v) const { return join(*v, ","); }
    std::string operator()(const std::optional<double>* v) const { return *v ? fmt::format("{}", **v) : ""; }
    std::string operator()(const std::optional<int64_t>* v) const { return *v ? fmt::format("{}", **v) : ""; }
    std::string operator()(const int* v) const { return std::to_string(*v); }
    std::string operator()(const int64_t* v) const { return std::to_string(*v); }
    std::string operator()(const uint64_t* v) const { return std::to_string(*v); }
    std::string operator()(const double* v) const { return fmt::format("{}", *v); }
  } shown;
  return std::visit(shown, value);
}

namespace {

// One overload a type of value: reads a text, checks it and takes it over.
struct Setter {
  const Flag& flag;
  const std::string& text;

  [[noreturn]] void refuse_text() const { refuse(flag.name, "expected {}, got \"{}\"", flag.wanted(), text); }
  void check_number(double v) const {
    for (const FlagCheck& check : flag.checks)
      if (check.number) check.number(flag.name, v);
  }
  void check_text(const std::string& item) const {
    for (const FlagCheck& check : flag.checks)
      if (check.text) check.text(flag.name, item);
  }
  template <class T>
  T read_whole() const {
    T v{};
    if (!whole(text, v)) refuse_text();
    return v;
  }
  double read_real() const {
    double v = 0;
    if (!real(text, v)) refuse_text();
    return v;
  }
  template <class T>
  void take(T* value, T read) const {
    if (read == *value) return;
    check_number(static_cast<double>(read));
    *value = read;
  }

  void operator()(bool* value) const {
    if (!yes_or_no(text, *value)) refuse_text();
  }
  void operator()(int* value) const { take(value, read_whole<int>()); }
  void operator()(int64_t* value) const { take(value, read_whole<int64_t>()); }
  void operator()(double* value) const { take(value, read_real()); }
  void operator()(uint64_t* value) const {
    if (!whole(text, *value))
      refuse(flag.name, "expected a whole number from 0 to {}, got \"{}\"", UINT64_MAX, text);
  }
  void operator()(std::optional<double>* value) const {
    double v = read_real();
    check_number(v);
    *value = v;
  }
  void operator()(std::optional<int64_t>* value) const {
    auto v = read_whole<int64_t>();
    check_number(static_cast<double>(v));
    *value = v;
  }
  void operator()(std::string* value) const {
    if (text != *value) check_text(text);
    *value = text;
  }
  void operator()(std::vector<double>* value) const {
    std::vector<double> read = parse_numbers(flag.name, text);
    for (double v : read) check_number(v);
    *value = read;
  }
  void operator()(std::vector<std::string>* value) const {
    check_text(text);
    value->push_back(text);
  }
};

}  // namespace

std::string Flag::text() const {
  return several && several->size() > 1 ? joined_items(*this, *several) : one_text();
}

void Flag::set_one(const std::string& text) const { std::visit(Setter{*this, text}, value); }

void Flag::set(const std::string& given, bool lists) const {
  const bool has_comma = given.find(',') != given.npos;
  if (several && !lists && has_comma && !has(kCommas) && !has(kNetwork))
    refuse(name, "expected one value, got \"{}\"; lists are for compare", given);
  if (lists && has_comma && has(kShared))
    refuse(name, "expected one value, for all arms of a comparison, got \"{}\"", given);
  const std::vector<std::string> items = several && lists ? items_of(*this, given) : std::vector{given};
  if (several) several->clear();
  const bool many = items.size() > 1;
  std::vector<std::string> taken;
  for (size_t i = 0; i < items.size(); ++i) {
    try {
      set_one(has(kNetwork) ? network_of(items[i], many) : items[i]);
    } catch (const Error& e) {
      if (!many) throw;
      throw Error(e.kind(), fmt::format("{} (value {} of \"{}\")", e.what(), i + 1, given));
    }
    taken.push_back(one_text());
    for (size_t k = 0; many && k < i; ++k)
      if (same_value(*this, taken[k], taken[i])) refuse(name, "\"{}\" is listed twice", items[i]);
  }
  if (!many) return;
  *several = taken;
  set_one(taken[0]);
}

}  // namespace sigma::app
