#include "tests/support/support.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "core/math.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "layers/checks.h"

extern char** environ;

namespace sigma::test {
namespace {
bool skipped = false;
}

void skip(const std::string& why) {
  skipped = true;
  std::cout << "SKIPPED: " << why << std::endl;
}
bool was_skipped() { return skipped; }

std::filesystem::path real_data(const std::string& name) {
  const char *dir = std::getenv("SIGMA_DATA_DIR"), *home = std::getenv("HOME");
  std::filesystem::path base =
      dir ? std::filesystem::path(dir) : std::filesystem::path(home ? home : "") / ".cache" / "sigma";
  // A folder may hold no more than a download that was broken off.
  std::error_code none;
  bool whole = false;
  for (std::filesystem::directory_iterator it(base / name, none), end; !none && it != end; it.increment(none))
    whole |= it->path().extension() != ".part" && it->path().filename().string()[0] != '.';
  return whole ? base : std::filesystem::path();
}

TemporaryFolder::TemporaryFolder() {
  const std::string random(6, 'X');  // mkdtemp puts letters in their place
  std::string pattern = (std::filesystem::temp_directory_path() / ("sigma-test-" + random)).string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp failed");
  path_ = pattern;
}
TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

RunResult run(const std::vector<std::string>& command, const std::vector<std::string>& env,
              double timeout_s) {
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) throw std::runtime_error("pipe failed");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err[1], 2);
  std::vector<char*> argv, envp;
  for (auto& a : command) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  for (char** e = environ; *e; ++e) {
    std::string name(*e, std::string(*e).find('=') + 1);
    bool replaced = false;
    for (auto& a : env) replaced |= a.rfind(name, 0) == 0;
    if (!replaced) envp.push_back(*e);
  }
  for (auto& a : env) envp.push_back(const_cast<char*>(a.c_str()));
  envp.push_back(nullptr);
  pid_t pid = 0;
  int failed = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  close(err[1]);
  if (failed) throw std::runtime_error("could not start " + command[0]);
  RunResult result;
  auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  pollfd fds[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  std::string* texts[2] = {&result.out, &result.err};
  for (int open = 2; open > 0;) {
    poll(fds, 2, 100);
    if (std::chrono::steady_clock::now() > end) {
      kill(pid, SIGKILL);
      result.err += "\n[timed out]";
      break;
    }
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || !(fds[i].revents & (POLLIN | POLLHUP))) continue;
      char buffer[4096];
      ssize_t got = read(fds[i].fd, buffer, sizeof buffer);
      if (got > 0) {
        texts[i]->append(buffer, static_cast<size_t>(got));
      } else {
        fds[i].fd = -1;
        --open;
      }
    }
  }
  close(out[0]);
  close(err[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

RunResult run_sigma(std::vector<std::string> arguments, const std::vector<std::string>& env,
                    double timeout_s) {
  arguments.insert(arguments.begin(), SIGMA_BINARY);
  return run(arguments, env, timeout_s);
}

Tensor randn(const Shape& shape, uint64_t seed, DType dtype) {
  Tensor t = Tensor::empty(shape, DType::float64);
  Rng rng(seed, "test");
  double* p = t.mutable_data<double>();
  for (int64_t i = 0; i < t.numel(); ++i) p[i] = rng.next_normal();
  return t.to(dtype);
}

Tensor random_integers(const Shape& shape, int low, int high, uint64_t seed, DType dtype) {
  Tensor t = Tensor::empty(shape, DType::float64);
  Rng rng(seed, "test integers");
  double* p = t.mutable_data<double>();
  for (int64_t i = 0; i < t.numel(); ++i)
    p[i] = low + static_cast<double>(rng.next_below(static_cast<uint64_t>(high - low + 1)));
  return t.to(dtype);
}

StateDict copy_of(const Module& m) {
  StateDict state = m.state_dict();
  for (auto& [name, t] : state.items) t = t.clone();
  return state;
}

std::string error_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const Error& e) { return e.what(); }
  FAIL("expected an error");
  return "";
}

void check_module(const std::function<ModulePtr()>& make, const Shape& shape, bool training) {
  Tensor x64 = smooth_input(shape, 11);
  {
    INFO("gradients in float64");
    ModulePtr m = make();
    m->train(training);
    GradcheckResult r = gradcheck_module(*m, x64);
    INFO(r.message);
    CHECK(r.passed);
    CHECK(r.largest_gradient > 1e-3);
  }
  auto backward = [&](Module& m, const Tensor& input) {
    m.set_step(0);
    Variable x(input, true), y = m(x);
    y.backward(randn(y.shape(), 5, input.dtype()));
    std::vector<Tensor> results{y.value(), x.grad()};
    for (auto& p : m.parameters()) results.push_back(p.grad());
    return results;
  };
  Tensor x = x64.to(DType::float32);
  {
    INFO("two backward passes add up");
    ModulePtr m = make();
    m->train(training);
    backward(*m, x);
    std::vector<Tensor> once;
    for (auto& p : m->parameters()) once.push_back(p.grad().clone());
    backward(*m, x);
    auto parameters = m->parameters();
    for (size_t i = 0; i < once.size(); ++i) CHECK(identical(parameters[i].grad(), scale(once[i], 2)));
  }
  {
    INFO("state goes through a state dict into a fresh module");
    ModulePtr a = make(), b = make();
    initialize(*a, 1);
    initialize(*b, 2);
    a->train(true);
    (*a)(Variable(x));  // moves the buffers of batch norm
    StateDict state = copy_of(*a);
    b->load_state_dict(state);
    a->eval();
    b->eval();
    CHECK(identical((*a)(Variable(x)).value(), (*b)(Variable(x)).value()));
    INFO("eval leaves buffers alone");
    for (auto& [name, v] : a->named_buffers()) CHECK(identical(v.value(), *state.find(name)));
  }
  {
    INFO("any number of threads gives the same bits");
    int before = num_threads();
    std::vector<std::vector<Tensor>> all;
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      ModulePtr m = make();
      m->train(training);
      all.push_back(backward(*m, x));
    }
    set_num_threads(before);
    for (size_t t = 1; t < all.size(); ++t)
      for (size_t i = 0; i < all[0].size(); ++i) CHECK(identical(all[0][i], all[t][i]));
  }
}

}  // namespace sigma::test
