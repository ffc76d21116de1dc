// Reading and writing whole files: either the new content is there completely, or the old one still is.
#include "core/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/safetensors.h"
#include "core/sha256.h"
#include "tests/support/support.h"

using namespace sigma;
namespace fs = std::filesystem;

namespace {

ErrorKind kind_of(const std::function<void()>& fn, const std::string& part) {
  try {
    fn();
  } catch (const Error& e) {
    INFO(e.what());
    CHECK(std::string(e.what()).find(part) != std::string::npos);
    return e.kind();
  }
  FAIL("expected an error");
  return ErrorKind::internal;
}

std::string text_of(const fs::path& path) {
  Bytes b = read_file(path.string());
  return {b.begin(), b.end()};
}

size_t files_in(const fs::path& folder) {
  size_t n = 0;
  for ([[maybe_unused]] auto& entry : fs::directory_iterator(folder)) ++n;
  return n;
}

// Makes writes beyond `bytes` fail with EFBIG, for this scope.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit lower{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &lower);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

}  // namespace

TEST_CASE("a file is read back as it was written", "[file]") {
  test::TemporaryFolder folder;
  std::string path = (folder / "f").string(), content(100000, 'x');
  content[50000] = '\0';
  write_file_atomic(path, content);
  CHECK(text_of(path) == content);
  write_file_atomic(path, {"ab", "", "cd"});
  CHECK(text_of(path) == "abcd");
  write_file_atomic(path, "");
  CHECK(text_of(path).empty());
  CHECK(files_in(folder.path()) == 1);
  CHECK(kind_of([&] { read_file(path + ".missing"); }, path + ".missing: cannot open") == ErrorKind::io);
  CHECK(kind_of([&] { read_file(folder.path().string()); }, "regular file") == ErrorKind::data);
  write_file_atomic(path, "0123456789");
  CHECK(read_file(path, 10).size() == 10);
  CHECK(kind_of([&] { read_file(path, 9); }, "at most 9 bytes, the file has 10") == ErrorKind::data);
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);  // opening one must not wait for a writer
  CHECK(kind_of([&] { read_file((folder / "fifo").string()); }, "regular file") == ErrorKind::data);
}

TEST_CASE("SHA-256 gives the known answers of FIPS 180-4", "[file]") {
  auto hash = [](std::string_view text) {
    Sha256 h;
    h.update(text);
    return h.hex();
  };
  CHECK(hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hash(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  Sha256 parts;
  parts.update("a");
  parts.update("bc");
  CHECK(parts.hex() == hash("abc"));
  test::TemporaryFolder folder;
  write_file_atomic((folder / "f").string(), std::string(3 << 20, 'q'));
  CHECK(sha256_of_file((folder / "f").string()) == hash(std::string(3 << 20, 'q')));
}

TEST_CASE("a failed write leaves the old file and no temporary behind", "[file]") {
  test::TemporaryFolder folder;
  fs::path path = folder / "model.safetensors";
  SafeTensors content;
  content.tensors["w"] = Tensor::ones({100});
  save_safetensors(path.string(), content);
  std::string old = text_of(path);
  content.tensors["w"] = Tensor::zeros({10000});
  auto save_to = [&](const fs::path& p) {
    return kind_of([&] { save_safetensors(p.string(), content); }, p.string() + ": cannot");
  };
  auto intact = [&] { return text_of(path) == old && files_in(folder.path()) == 1; };
  // The file system refuses at the first byte, in the middle, and at the last byte.
  for (rlim_t limit :
       {rlim_t{0}, rlim_t{4096}, static_cast<rlim_t>(serialize_safetensors(content).size() - 1)}) {
    std::exception_ptr error;
    {
      FileSizeLimit full(limit);  // no assertion in here: its message may go to a file, too
      try {
        save_safetensors(path.string(), content);
      } catch (...) { error = std::current_exception(); }
    }
    REQUIRE(error);
    CHECK(kind_of([&] { std::rethrow_exception(error); }, path.string() + ": cannot write") == ErrorKind::io);
    CHECK(intact());
  }
  CHECK(save_to(folder / "missing" / "model.safetensors") == ErrorKind::io);
  CHECK(save_to(path / "below a file") == ErrorKind::io);
  CHECK(save_to(folder / std::string(300, 'x')) == ErrorKind::io);
  CHECK(intact());
  fs::create_directory(folder / "folder");  // a folder stands where the file should go
  CHECK(save_to(folder / "folder") == ErrorKind::io);
  CHECK(fs::is_directory(folder / "folder"));
  fs::remove(folder / "folder");
  CHECK(intact());
  if (geteuid() != 0) {  // root may write anywhere
    fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
    CHECK(save_to(path) == ErrorKind::io);
    fs::permissions(folder.path(), fs::perms::owner_all);
    CHECK(intact());
  }
  save_safetensors(path.string(), content);  // and after all that it still works
  CHECK(load_safetensors(path.string()).tensors.at("w").numel() == 10000);
}

TEST_CASE("readers see the old or the new content, never a mixture", "[file]") {
  test::TemporaryFolder folder;
  std::string path = (folder / "f").string(), a(20000, 'a'), b(30000, 'b');
  write_file_atomic(path, a);
  int reader = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(reader >= 0);
  write_file_atomic(path, b);
  std::string seen(40000, '?');
  ssize_t got = ::read(reader, seen.data(), seen.size());
  ::close(reader);
  CHECK(seen.substr(0, static_cast<size_t>(std::max<ssize_t>(0, got))) == a);
  CHECK(text_of(path) == b);
}

TEST_CASE("loading what is no readable file is an error of the right kind", "[file]") {
  test::TemporaryFolder folder;
  std::string missing = (folder / "none").string();
  CHECK(kind_of([&] { load_safetensors(missing); }, missing) == ErrorKind::io);
  CHECK(kind_of([&] { load_safetensors(folder.path().string()); }, "regular file") == ErrorKind::checkpoint);
  write_file_atomic(missing, "");
  CHECK(kind_of([&] { load_safetensors(missing); }, missing + ": 0 bytes") == ErrorKind::checkpoint);
}
