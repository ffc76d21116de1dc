// Downloads from a server of our own: resumed, checked, and never leaving a wrong file.
#include <nlohmann/json.hpp>

#include "core/sha256.h"
#include "data/catalog.h"
#include "data/dataset.h"
#include "data/download.h"
#include "data/formats/image.h"
#include "tests/support/http_server.h"
#include "tests/support/sample_files.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;
using Requests = std::vector<std::string>;

namespace {

std::string digest(const std::string& bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

const std::string kContent = some_pixels(300000);

// A request for kContent.
FetchRequest fetch(const TemporaryFolder& folder, const std::vector<std::string>& urls) {
  return {urls, (folder / "data/set/file.bin").string(), digest(kContent), kContent.size(), 2};
}

// The kind of the error that fetching ends in; the message must contain every one of `parts`.
ErrorKind refused(const std::function<void()>& fn, const std::vector<std::string>& parts) {
  try {
    fn();
  } catch (const Error& e) {
    INFO(e.what());
    for (auto& part : parts) CHECK(std::string(e.what()).find(part) != std::string::npos);
    return e.kind();
  }
  FAIL("expected an error");
  return ErrorKind::internal;
}

std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (auto& entry : fs::recursive_directory_iterator(folder))
    names.push_back(fs::relative(entry.path(), folder).string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string tar_member(const std::string& name, const std::string& content, char type = '0') {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  std::string size = fmt::format("{:011o}", content.size());
  header.replace(124, size.size(), size);
  header[156] = type;
  header.replace(257, 5, "ustar");
  header.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (char c : header) sum += static_cast<unsigned char>(c);
  header.replace(148, 7, fmt::format("{:06o}", sum) + '\0');
  return header + content + std::string((512 - content.size() % 512) % 512, '\0');
}
const std::string kTarEnd(1024, '\0');

// Needs nothing of this machine's data or settings.
RunResult data_verb(const TemporaryFolder& folder, std::vector<std::string> words) {
  words.insert(words.begin(), "data");
  return run_sigma(words, {"SIGMA_DATA_DIR=" + (folder / "data").string(), "no_proxy=127.0.0.1"}, 600);
}

}  // namespace

TEST_CASE("a file is fetched, resumed and left alone once it is there", "[download]") {
  TemporaryFolder folder;
  HttpServer server({{"/file", {kContent}}, {"/moved", {"", 302, true, 0, "/file"}}});
  FetchRequest request = fetch(folder, {server.url("/file")});
  uint64_t seen = 0;
  fetch_file(request, [&](const std::string& url, uint64_t have, uint64_t total) {
    CHECK(url == server.url("/file"));
    CHECK(have > seen);
    CHECK(total == kContent.size());
    seen = have;
  });
  CHECK(seen == kContent.size());
  CHECK(bytes_of(request.target) == kContent);
  fetch_file(request);
  CHECK(server.requests() == Requests{"GET /file"});

  fs::remove(request.target);
  put(request.target + ".part", kContent.substr(0, 100001));
  fetch_file(request);
  CHECK(bytes_of(request.target) == kContent);
  CHECK(server.requests().back() == "GET /file bytes=100001-");

  fs::remove(request.target);  // a complete .part only needs its name
  put(request.target + ".part", kContent);
  fetch_file(request);
  CHECK(server.requests().size() == 2);

  fs::remove(request.target);
  put(request.target + ".part", kContent + "too long");
  fetch_file(request);
  CHECK(server.requests().back() == "GET /file");

  fs::remove(request.target);
  request.urls = {server.url("/moved")};
  fetch_file(request);
  CHECK(bytes_of(request.target) == kContent);
  CHECK(files_in(folder / "data") == std::vector<std::string>{"set", "set/file.bin"});
}

TEST_CASE("a .part that is a symbolic link is not followed", "[download]") {
  TemporaryFolder folder;
  HttpServer server({{"/file", {kContent}}});
  FetchRequest request = fetch(folder, {server.url("/file")});
  put(folder / "precious", "precious");
  fs::create_directories(fs::path(request.target).parent_path());
  for (const char* aim : {"precious", "nothing"}) {  // a link that leads nowhere would make a file there
    fs::create_symlink(folder / aim, request.target + ".part");
    CHECK_THROWS_WITH(fetch_file(request),
                      request.target + ".part: expected a file, found a symbolic link; remove it");
    CHECK(bytes_of(folder / "precious") == "precious");
    CHECK_FALSE(fs::exists(folder / "nothing"));
    fs::remove(request.target + ".part");
  }
  CHECK(server.requests().empty());
}

TEST_CASE("a server that ignores ranges sends the file from its start", "[download]") {
  TemporaryFolder folder;
  HttpServer server({{"/file", {kContent, 200, false}}});
  FetchRequest request = fetch(folder, {server.url("/file")});
  put(request.target + ".part", kContent.substr(0, 1000));
  fetch_file(request);
  CHECK(server.requests() == Requests{"GET /file bytes=1000-"});
  CHECK(bytes_of(request.target) == kContent);
}

TEST_CASE("the next address is tried, and goes on where the last one stopped", "[download]") {
  TemporaryFolder folder;
  HttpServer server({{"/cut", {kContent, 200, true, 70000}}, {"/wrong", {"wrong"}}, {"/file", {kContent}}});
  FetchRequest request =
      fetch(folder, {server.url("/none"), server.url("/wrong"), server.url("/cut"), server.url("/file")});
  fetch_file(request);
  CHECK(bytes_of(request.target) == kContent);
  CHECK(server.requests() == Requests{"GET /none", "GET /wrong", "GET /cut", "GET /file bytes=70000-"});
  CHECK_FALSE(fs::exists(request.target + ".part"));
}

TEST_CASE("a connection that breaks leaves what came for the next time", "[download]") {
  TemporaryFolder folder;
  FetchRequest request;
  {
    HttpServer server({{"/file", {kContent, 200, true, 70000}}});
    request = fetch(folder, {server.url("/file")});
    CHECK(refused([&] { fetch_file(request); }, {"file.bin: could not be downloaded", server.url("/file")}) ==
          ErrorKind::io);
  }
  CHECK_FALSE(fs::exists(request.target));
  CHECK(bytes_of(request.target + ".part") == kContent.substr(0, 70000));
  HttpServer server({{"/file", {kContent}}});
  request.urls = {server.url("/file")};
  fetch_file(request);
  CHECK(server.requests() == Requests{"GET /file bytes=70000-"});
  CHECK(bytes_of(request.target) == kContent);
}

TEST_CASE("a download that fails leaves no file", "[download]") {
  TemporaryFolder folder;
  std::string other = kContent, gone;
  other[1234] = static_cast<char>(~other[1234]);
  HttpServer server({{"/other", {other}}, {"/long", {kContent + "x"}}, {"/short", {"short"}}});
  {
    HttpServer closed({});
    gone = closed.url("/file");
  }
  auto fails = [&](const std::vector<std::string>& urls, const std::vector<std::string>& parts) {
    ErrorKind kind = refused([&] { fetch_file(fetch(folder, urls)); }, parts);
    CHECK_FALSE(fs::exists(folder / "data/set"));
    return kind;
  };
  CHECK(fails({server.url("/other")}, {"file.bin: no address served the published file", server.url("/other"),
                                       "sha256 " + digest(other), "expected " + digest(kContent)}) ==
        ErrorKind::data);
  CHECK(fails({server.url("/short")}, {"sha256 " + digest("short")}) == ErrorKind::data);
  CHECK(fails({server.url("/long")}, {"could not be downloaded", "longer than the expected 300000 bytes"}) ==
        ErrorKind::io);
  CHECK(fails({server.url("/none")}, {"could not be downloaded", server.url("/none"), "404"}) ==
        ErrorKind::io);
  CHECK(fails({gone}, {"could not be downloaded", gone}) == ErrorKind::io);
  CHECK(fails({"file:///etc/hostname"}, {"could not be downloaded"}) == ErrorKind::io);
  CHECK(fails({server.url("/none"), server.url("/other"), gone}, {"/none", "/other", gone}) == ErrorKind::io);
}

TEST_CASE("a file of the user's own is neither replaced nor fetched", "[download]") {
  TemporaryFolder folder;
  HttpServer server({{"/file", {kContent}}});
  FetchRequest request = fetch(folder, {server.url("/file")});
  put(request.target, "precious");
  CHECK(refused([&] { fetch_file(request); }, {"file.bin: this file exists with another sha256"}) ==
        ErrorKind::data);
  CHECK(bytes_of(request.target) == "precious");
  CHECK(server.requests().empty());
  put(folder / "plain", "");
  request.target = (folder / "plain/file.bin").string();
  CHECK(refused([&] { fetch_file(request); }, {"plain"}) == ErrorKind::io);
}

TEST_CASE("a data set is fetched file by file, and archives are unpacked", "[download]") {
  TemporaryFolder folder;
  std::string a = gzipped("content of a"), b = gzipped("content of b");
  std::string archive = gzipped(tar_member("top/train.bin", "train") + tar_member("top/test.bin", "test") +
                                tar_member("top/script.sh", "no") + kTarEnd);
  HttpServer server({{"/a.gz", {a}}, {"/b.gz", {b}}, {"/all.tar.gz", {archive}}});
  CatalogEntry files{"pair", {server.url("/")}, {}, false, {}, "pair"};
  files.files = {{"a.gz", a.size(), digest(a), digest("content of a")},
                 {"b.gz", b.size(), digest(b), digest("content of b")}};
  std::string data = (folder / "data").string();
  put(folder / "data/pair/b", "content of b");  // unpacked already: as good as the packed file
  fetch_dataset(files, data);
  CHECK(server.requests() == Requests{"GET /a.gz"});
  CHECK(files_in(folder / "data") == std::vector<std::string>{"pair", "pair/a.gz", "pair/b"});
  for (const VerifyRow& row : verify_dataset(files, data)) CHECK(row.good);

  CatalogEntry packed{"all", {"http://127.0.0.1:1/"}, {}, true, {"train.bin", "test.bin"}, "all"};
  packed.files = {{"all.tar.gz", archive.size(), digest(archive), ""}};
  std::string mirror = server.url("");  // the slash is added
  fetch_dataset(packed, data, mirror);
  CHECK(bytes_of(folder / "data/all/train.bin") == "train");
  CHECK(bytes_of(folder / "data/all/test.bin") == "test");
  CHECK_FALSE(fs::exists(folder / "data/all/script.sh"));
  fetch_dataset(packed, data, mirror);  // complete: nothing to do
  CHECK(server.requests().size() == 2);
}

TEST_CASE("an archive writes nothing but the expected names, in its folder", "[download]") {
  TemporaryFolder folder;
  fs::path out = folder / "a/b/out";
  std::string absolute = (folder / "absolute.bin").string();
  put(folder / "evil.tar.gz",
      gzipped(tar_member("../../up.bin", "up") + tar_member(absolute, "absolute") +
              tar_member("dir/", "", '5') + tar_member("dir/deep.bin", std::string(100000, 'd')) +
              tar_member("../../stranger.bin", "no") + tar_member("link.bin", "", '2') +
              tar_member("..", "no") + tar_member("kept.bin", "new") + kTarEnd));
  put(out / "kept.bin", "precious");
  unpack_tar_gz((folder / "evil.tar.gz").string(),
                {"up.bin", "absolute.bin", "deep.bin", "link.bin", "kept.bin"}, out.string());
  CHECK(files_in(folder.path()) == std::vector<std::string>{"a", "a/b", "a/b/out", "a/b/out/absolute.bin",
                                                            "a/b/out/deep.bin", "a/b/out/kept.bin",
                                                            "a/b/out/up.bin", "evil.tar.gz"});
  CHECK(bytes_of(out / "up.bin") == "up");
  CHECK(bytes_of(out / "absolute.bin") == "absolute");
  CHECK(bytes_of(out / "deep.bin") == std::string(100000, 'd'));
  CHECK(bytes_of(out / "kept.bin") == "precious");
}

TEST_CASE("an archive that is cut or is none is refused", "[download]") {
  TemporaryFolder folder;
  std::string whole =
      tar_member("a.bin", some_pixels(5000)) + tar_member("b.bin", some_pixels(5000)) + kTarEnd;
  std::string packed = gzipped(whole);
  auto unpack = [&](const std::string& bytes, const std::string& part) {
    fs::remove_all(folder / "out");
    put(folder / "x.tar.gz", bytes);
    return refused(
        [&] {
          unpack_tar_gz((folder / "x.tar.gz").string(), {"a.bin", "b.bin"}, (folder / "out").string());
        },
        {"x.tar.gz: " + part});
  };
  for (size_t bytes : {size_t{30}, packed.size() / 4, packed.size() * 3 / 4}) {
    CHECK(unpack(packed.substr(0, bytes), "the archive is cut off or damaged") == ErrorKind::data);
    for (auto& name : files_in(folder / "out"))  // a member is there whole or not at all
      CHECK(bytes_of(folder / "out" / name) == some_pixels(5000));
  }
  for (size_t bytes : {size_t{100}, size_t{3000}, size_t{9000}, whole.size() - 1024})
    CHECK(unpack(gzipped(whole.substr(0, bytes)), "the archive is cut off or damaged") == ErrorKind::data);
  CHECK(unpack(whole, "at byte 0: this is not a gzip file") == ErrorKind::data);
  CHECK(unpack(gzipped(kTarEnd), "holds none of the expected files") == ErrorKind::data);
  std::string huge = tar_member("a.bin", "");
  huge.replace(124, 11, "77777777777");
  CHECK(unpack(gzipped(huge + kTarEnd), "member a.bin claims 8589934591 bytes") == ErrorKind::data);
  CHECK(refused([&] { unpack_tar_gz((folder / "none").string(), {"a"}, (folder / "out").string()); },
                {"none: cannot open"}) == ErrorKind::io);
}

TEST_CASE("sigma data fetch fails cleanly", "[download]") {
  TemporaryFolder folder;
  HttpServer wrong(
      {{"/train-images-idx3-ubyte.gz", {"not the file"}}, {"/cifar-10-binary.tar.gz", {"nor this"}}});
  HttpServer empty({});
  auto fails = [&](const std::string& name, const std::string& mirror, int exit_code,
                   const std::string& part) {
    RunResult r = data_verb(folder, {"fetch", name, "--quiet", "--mirror", mirror});
    INFO(r.err);
    CHECK(r.exit_code == exit_code);
    CHECK(r.err.rfind("error: " + (folder / "data").string(), 0) == 0);
    CHECK(r.err.find(part) != std::string::npos);
    CHECK(std::count(r.err.begin(), r.err.end(), '\n') == 1);
    CHECK(r.out == "");
    if (fs::exists(folder / "data")) CHECK(files_in(folder / "data").empty());
  };
  fails("mnist", wrong.url("/"), 3, "mnist/train-images-idx3-ubyte.gz: no address served the published file");
  fails("cifar10", wrong.url("/"), 3, "cifar-10-binary.tar.gz: no address served the published file");
  fails("mnist", empty.url("/"), 4, "404");
  fails("mnist", "http://127.0.0.1:1/", 4, "could not be downloaded");
}

TEST_CASE("sigma data list, verify and preview", "[download]") {
  TemporaryFolder folder;
  put_mnist(folder / "data/mnist");
  put_cifar10(folder / "data/cifar-10-batches-bin");
  RunResult list = data_verb(folder, {"list", "--json"});
  REQUIRE(list.exit_code == 0);
  auto rows = nlohmann::json::parse(list.out).at("data_sets");
  CHECK(rows.size() == 8);
  for (auto& row : rows) {
    std::string name = row.at("name");
    bool here = name == "mnist" || name == "cifar10" || name.rfind("synth-", 0) == 0;
    CHECK(row.at("here") == here);
  }
  CHECK(data_verb(folder, {"list"}).out.find("data folder: " + (folder / "data").string()) !=
        std::string::npos);

  auto differs = [&](const std::string& name, const std::string& part) {
    RunResult r = data_verb(folder, {"verify", name});
    INFO(r.out << r.err);
    CHECK(r.exit_code == 3);
    CHECK(r.out.find(part) != std::string::npos);
    CHECK(r.err.find("error: " + name + ": not all files are as published") != std::string::npos);
  };
  differs("mnist", "differs from the published file");
  differs("kmnist", "missing");
  differs("cifar10", "differs: 6146 bytes, expected 30730000");
  if (fs::path base = real_data("mnist"); base.empty()) {
    skip("MNIST is not in the data folder");
  } else {
    RunResult r = run_sigma({"data", "verify", "mnist", "--json", "--data-dir", base.string()});
    INFO(r.out << r.err);
    CHECK(r.exit_code == 0);
    CHECK(nlohmann::json::parse(r.out).at("good") == true);
  }

  std::string target = (folder / "p.png").string();
  RunResult preview = data_verb(folder, {"preview", "mnist", "--out", target});
  INFO(preview.err);
  REQUIRE(preview.exit_code == 0);
  Image image = read_image(target);
  CHECK(image.width > 12 * 2 * 28);
  CHECK(image.height > 10 * 2 * 28);
  CHECK(data_verb(folder, {"preview", "mnist", "--out", target}).exit_code == 2);
  CHECK(data_verb(folder, {"preview", "cifar10", "--out", target, "--overwrite"}).exit_code == 0);
}
