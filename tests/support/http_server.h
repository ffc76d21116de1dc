// An HTTP server on 127.0.0.1 that serves files from memory, well or badly, on a thread of its own.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sigma::test {

struct Reply {
  std::string body;
  int status = 200;
  bool ranges = true;         // false: "Range" is ignored
  size_t stop_after = 1e9;    // bytes of the body, then the connection is closed
  std::string location = "";  // with status 302
};

class HttpServer {
 public:
  explicit HttpServer(std::map<std::string, Reply> replies);  // by path, "/a"; 404 for others
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url(const std::string& path) const;
  // "GET /a" or "GET /a bytes=5-", in the order they came.
  std::vector<std::string> requests();

 private:
  void serve();
  void answer(int connection);

  std::map<std::string, Reply> replies_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

}  // namespace sigma::test
