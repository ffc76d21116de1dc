// The program: from a command line to a verb, from errors to sentences and exit codes.
#include <new>
#include <system_error>

#include "apps/flags/parser.h"
#include "apps/run/output.h"
#include "apps/run/run_folder.h"
#include "apps/run/signals.h"
#include "apps/run/startup.h"

namespace sigma::app {
namespace {

int call_verb(const std::vector<std::string>& arguments) {
  Call call = parse_command_line(arguments);
  if (!call.verb) {
    print(call.text);
    return 0;
  }
  const Options& o = *call.options;
  std::string config = o.config;
  if (o.resume) {
    if (!config.empty())
      fail(ErrorKind::usage, "--resume", "cannot be combined with --config: the run's own flags hold");
    // The run's own flags; those given override them.
    config = (RunFolder::locate(o, call.verb->name()) / "config.json").string();
  }
  if (!config.empty()) call = parse_command_line(arguments, read_settings(config, call.flags));
  return call.verb->run(*call.options);
}

int refuse(const std::string& sentence, ErrorKind kind) {
  note("error: " + sentence);
  return static_cast<int>(kind);
}

int run(const std::vector<std::string>& arguments) {
  try {
    return call_verb(arguments);
  } catch (const Error& e) { return refuse(e.what(), e.kind()); } catch (const Stopped& s) {
    return 128 + s.signal;
  } catch (const std::bad_alloc&) {
    return refuse("out of memory", ErrorKind::memory);
  } catch (const std::system_error& e) {
    if (e.code() != std::errc::resource_unavailable_try_again)
      return refuse(std::string("internal: ") + e.what(), ErrorKind::internal);
    return refuse("a thread cannot be started: the limit of processes or of memory is too low",
                  ErrorKind::memory);
  } catch (const std::exception& e) {
    return refuse(std::string("internal: ") + e.what(), ErrorKind::internal);
  }
}

}  // namespace
}  // namespace sigma::app

int main(int argc, char** argv) {
  using namespace sigma::app;
  begin_process();
  end_process(finish_output(run({argv + 1, argv + argc})));
}
