#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace sigma::test {

HttpServer::HttpServer(std::map<std::string, Reply> replies) : replies_(std::move(replies)) {
  setenv("no_proxy", "127.0.0.1", 1);  // whatever proxy this machine uses
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (listener_ < 0 || bind(listener_, any, size) != 0 || listen(listener_, 8) != 0 ||
      getsockname(listener_, any, &size) != 0)
    throw std::runtime_error("cannot listen on 127.0.0.1");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

HttpServer::~HttpServer() {
  stop_ = true;
  thread_.join();
  close(listener_);
}

std::string HttpServer::url(const std::string& path) const {
  return "http://127.0.0.1:" + std::to_string(port_) + path;
}

std::vector<std::string> HttpServer::requests() {
  std::lock_guard lock(mutex_);
  return requests_;
}

void HttpServer::serve() {
  while (!stop_) {
    pollfd ready{listener_, POLLIN, 0};
    if (poll(&ready, 1, 20) <= 0) continue;
    int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    timeval limit{5, 0};
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    answer(connection);
    close(connection);
  }
}

void HttpServer::answer(int connection) {
  std::string request;
  char buffer[4096];
  while (request.find("\r\n\r\n") == std::string::npos && request.size() < 16384) {
    ssize_t got = recv(connection, buffer, sizeof buffer, 0);
    if (got <= 0) return;
    request.append(buffer, static_cast<size_t>(got));
  }
  size_t end = request.find(' ', 4);
  std::string path = request.substr(4, end - 4), range;
  if (size_t at = request.find("Range: "); at != std::string::npos)
    range = request.substr(at + 7, request.find("\r\n", at) - at - 7);
  {
    std::lock_guard lock(mutex_);
    requests_.push_back("GET " + path + (range.empty() ? "" : " " + range));
  }
  auto found = replies_.find(path);
  Reply reply;
  if (found != replies_.end())
    reply = found->second;
  else
    reply.status = 404, reply.body = "not found";
  std::string headers, body = reply.body;
  if (reply.status == 200 && reply.ranges && !range.empty()) {
    size_t from = std::strtoul(range.c_str() + 6, nullptr, 10), all = body.size();
    reply.status = from < all ? 206 : 416;
    body = from < all ? body.substr(from) : "";
    if (reply.status == 206)
      headers = "Content-Range: bytes " + std::to_string(from) + "-" + std::to_string(all - 1) + "/" +
                std::to_string(all) + "\r\n";
  }
  if (!reply.location.empty()) headers += "Location: " + reply.location + "\r\n";
  std::string text = "HTTP/1.1 " + std::to_string(reply.status) + " X\r\nConnection: close\r\n" + headers +
                     "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                     body.substr(0, reply.stop_after);
  for (size_t sent = 0; sent < text.size();) {
    ssize_t n = send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return;  // the client has had enough
    sent += static_cast<size_t>(n);
  }
  // Closing with unread input would reset the connection and lose the end of the answer.
  shutdown(connection, SHUT_WR);
  while (recv(connection, buffer, sizeof buffer, 0) > 0) {}
}

}  // namespace sigma::test
