#include "data/download.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "core/check.h"
#include "core/file.h"

namespace sigma {
namespace {

namespace fs = std::filesystem;

struct Transfer {
  std::FILE* file = nullptr;
  CURL* curl = nullptr;
  uint64_t have = 0, limit = 0, resumed_from = 0;
  bool first = true, too_long = false, disk_error = false;
  const FetchProgress* progress = nullptr;
  const std::string* url = nullptr;
};

size_t on_data(char* data, size_t size, size_t count, void* user) {
  auto* t = static_cast<Transfer*>(user);
  size_t bytes = size * count;
  if (t->first) {
    t->first = false;
    long status = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (t->resumed_from > 0 && status != 206) {  // the server sends the whole file again
      if (std::fseek(t->file, 0, SEEK_SET) != 0) return 0;
      t->have = 0;
    }
  }
  if (t->limit && t->have + bytes > t->limit) {
    t->too_long = true;
    return 0;
  }
  if (std::fwrite(data, 1, bytes, t->file) != bytes) {
    t->disk_error = true;
    return 0;
  }
  t->have += bytes;
  if (t->progress && *t->progress) (*t->progress)(*t->url, t->have, t->limit);
  return bytes;
}

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

// Someone else may have put a link there, to a file of ours that the download would then overwrite.
void refuse_link(const std::string& part) {
  std::error_code ignored;
  if (fs::is_symlink(fs::symlink_status(part, ignored)))
    fail(ErrorKind::io, part, "expected a file, found a symbolic link; remove it");
}

// For writing, at its end; made when it is not there.
File open_part(const std::string& part) {
  refuse_link(part);
  const int fd = ::open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  File file(fd < 0 ? nullptr : ::fdopen(fd, "r+b"), std::fclose);
  if (!file) fail(ErrorKind::io, part, "cannot open for writing: {}", std::strerror(errno));
  std::fseek(file.get(), 0, SEEK_END);
  return file;
}

// One try from one address. Returns "" or what went wrong; the .part keeps what arrived.
std::string try_url(const std::string& url, const std::string& part, const FetchRequest& request,
                    const FetchProgress& progress) {
  std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) return "libcurl could not be initialised";
  refuse_link(part);
  std::error_code ignored;
  uint64_t have = fs::exists(part, ignored) ? fs::file_size(part, ignored) : 0;
  if (request.bytes &&
      have >= request.bytes) {  // complete or wrong: the digest decides, a wrong one starts over
    if (have == request.bytes && sha256_of_file(part) == request.sha256) return "";
    fs::remove(part, ignored);
    have = 0;
  }
  File file = open_part(part);
  Transfer t{file.get(), curl.get(), have, request.bytes, have};
  t.progress = &progress;
  t.url = &url;
  char message[CURL_ERROR_SIZE] = "";
  CURL* c = curl.get();
  curl_easy_setopt(c, CURLOPT_URL, url.c_str());
  curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(c, CURLOPT_MAXREDIRS, 5L);
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
  curl_easy_setopt(c, CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
  curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
  curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout_s * 1000));
  curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);  // slow mirrors are fine, dead ones are not
  curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 60L);
  curl_easy_setopt(c, CURLOPT_USERAGENT, "sigma/0.1");
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, message);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &t);
  // Not CURLOPT_RESUME_FROM: with that libcurl refuses the whole file when a server ignores the range.
  if (have) curl_easy_setopt(c, CURLOPT_RANGE, fmt::format("{}-", have).c_str());
  CURLcode code = curl_easy_perform(c);
  bool flushed = std::fflush(file.get()) == 0;
  if (t.disk_error || !flushed) fail(ErrorKind::io, part, "cannot write: {}", std::strerror(errno));
  if (t.too_long) {
    file.reset();
    fs::remove(part, ignored);
    return fmt::format("the answer is longer than the expected {} bytes", request.bytes);
  }
  file.reset();
  if (code != CURLE_OK) {
    if (t.have == 0) fs::remove(part, ignored);
    return message[0] ? message : curl_easy_strerror(code);
  }
  if (t.have < fs::file_size(part, ignored))
    fs::resize_file(part, t.have, ignored);  // a shorter full answer over an old part
  return "";
}

}  // namespace

void fetch_file(const FetchRequest& request, const FetchProgress& progress) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (global != CURLE_OK) fail(ErrorKind::internal, "libcurl", "could not be initialised");
  std::error_code error;
  if (fs::exists(request.target, error)) {
    if (sha256_of_file(request.target) == request.sha256) return;
    fail(ErrorKind::data, request.target,
         "this file exists with another sha256 than the published one; move it away to fetch it");
  }
  fs::path folder = fs::path(request.target).parent_path();
  struct RemoveIfEmpty {  // what a failed download created; remove() leaves a folder with files alone
    fs::path folder;
    ~RemoveIfEmpty() {
      std::error_code ignored;
      if (!folder.empty()) fs::remove(folder, ignored);
    }
  } created;
  if (fs::create_directories(folder, error)) created.folder = folder;
  if (error) fail(ErrorKind::io, folder.string(), "cannot create the folder: {}", error.message());
  std::string part = request.target + ".part", failures;
  for (const std::string& url : request.urls) {
    std::string failure = try_url(url, part, request, progress);
    if (!failure.empty()) {
      failures += fmt::format("; {}: {}", url, failure);
      continue;
    }
    std::string digest = sha256_of_file(part);
    if (digest != request.sha256) {
      fs::remove(part, error);
      failures += fmt::format("; {}: sha256 {}, expected {}", url, digest, request.sha256);
      if (&url == &request.urls.back())
        fail(ErrorKind::data, request.target, "no address served the published file{}", failures);
      continue;
    }
    fs::rename(part, request.target, error);
    if (error)
      fail(ErrorKind::io, request.target, "cannot rename the finished download: {}", error.message());
    return;
  }
  fail(ErrorKind::io, request.target,
       "could not be downloaded{}. To do it by hand, put the file there yourself.", failures);
}

void fetch_dataset(const CatalogEntry& entry, const std::string& data_dir, const std::string& mirror,
                   const FetchProgress& progress, double connect_timeout_s) {
  fs::path folder = fs::path(data_dir) / entry.folder;
  std::error_code ignored;
  if (entry.archive) {
    bool complete = true;
    for (const std::string& name : entry.members)
      if (name.size() > 4 && name.substr(name.size() - 4) == ".bin")
        complete &= fs::exists(folder / name, ignored);
    if (complete) return;
  }
  for (const CatalogFile& file : entry.files) {
    FetchRequest request;
    for (const std::string& base : mirror.empty() ? entry.mirrors : std::vector<std::string>{mirror})
      request.urls.push_back(base + (base.empty() || base.back() == '/' ? "" : "/") + file.name);
    request.target = (entry.archive ? fs::path(data_dir) / file.name : folder / file.name).string();
    request.sha256 = file.sha256;
    request.bytes = file.bytes;
    request.connect_timeout_s = connect_timeout_s;
    // The same content packed otherwise, or unpacked, serves as well.
    if (!entry.archive && !file.sha256_unpacked.empty()) {
      CatalogEntry one = entry;
      one.files = {file};
      if (verify_dataset(one, data_dir)[0].good) continue;
    }
    fetch_file(request, progress);
    if (entry.archive) unpack_tar_gz(request.target, entry.members, folder.string());
  }
}

void unpack_tar_gz(const std::string& archive, const std::vector<std::string>& members,
                   const std::string& folder) {
  std::unique_ptr<std::remove_pointer_t<gzFile>, int (*)(gzFile)> gz(gzopen(archive.c_str(), "rb"), gzclose);
  if (!gz) fail(ErrorKind::io, archive, "cannot open: {}", std::strerror(errno));
  if (gzdirect(gz.get())) fail(ErrorKind::data, archive, "at byte 0: this is not a gzip file");
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(ErrorKind::io, folder, "cannot create the folder: {}", error.message());
  constexpr uint64_t kMaxMember = uint64_t{1} << 30;
  auto read_exactly = [&](void* to, unsigned bytes) {
    int got = gzread(gz.get(), to, bytes);
    if (got != static_cast<int>(bytes)) fail(ErrorKind::data, archive, "the archive is cut off or damaged");
  };
  size_t taken = 0;
  while (true) {
    char header[512];
    read_exactly(header, 512);
    if (std::all_of(header, header + 512, [](char c) { return c == 0; })) break;
    std::string path(header, strnlen(header, 100)), name = fs::path(path).filename().string();
    uint64_t size = 0;
    for (int i = 124; i < 136 && header[i] >= '0' && header[i] <= '7'; ++i)
      size = size * 8 + static_cast<uint64_t>(header[i] - '0');
    if (size > kMaxMember) fail(ErrorKind::data, archive, "member {} claims {} bytes", name, size);
    bool file = header[156] == '0' || header[156] == 0;
    bool wanted = file && std::find(members.begin(), members.end(), name) != members.end();
    std::string content;
    uint64_t padded = (size + 511) / 512 * 512;
    char buffer[65536];
    for (uint64_t at = 0; at < padded;) {
      auto bytes = static_cast<unsigned>(std::min<uint64_t>(sizeof buffer, padded - at));
      read_exactly(buffer, bytes);
      if (wanted && at < size)
        content.append(buffer, static_cast<size_t>(std::min<uint64_t>(bytes, size - at)));
      at += bytes;
    }
    fs::path target = fs::path(folder) / name;
    if (wanted && !fs::exists(target, error)) write_file_atomic(target.string(), content);
    taken += wanted;
  }
  if (taken == 0) fail(ErrorKind::data, archive, "holds none of the expected files");
}

}  // namespace sigma
