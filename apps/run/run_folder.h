// The folder of a run: made only once everything else is known to be good, locked while the run lives, never
// silently replaced.
//
// A file "sigma-run" marks it; folders of runs before there was one are known by a config.json with flags of
// sigma beside an env.json that sigma wrote. Only files that runs write, by their names, are ever removed,
// and only from a folder that is known as a run.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "apps/flags/options.h"
#include "apps/report/csv.h"
#include "apps/run/environment.h"
#include "core/json.h"

namespace sigma::app {

class RunFolder {
 public:
  // Finds the folder without touching anything: --out, else runs/<verb>, runs/<verb>-2, ... With --resume the
  // given folder or the latest run of the verb. Throws kind usage when it holds a run already (and neither
  // --resume nor --overwrite is given) or something that is no run, kind io when there is nothing to resume.
  static std::filesystem::path locate(const Options& options, const std::string& verb);

  // Makes the folder, locks it, and checks that it can be written and that `bytes_needed` are free. With
  // --overwrite the files of the run that is there go.
  RunFolder(std::filesystem::path path, const Options& options, uint64_t bytes_needed);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  void write(const std::string& name, const std::string& content) const;  // atomic
  void write_json(const std::string& name, const Json& json) const;

 private:
  std::filesystem::path path_;
  int lock_ = -1;
};

// Throws kind usage when --overwrite would replace a run folder that holds one of the files a verb reads.
void keep_inputs(const std::filesystem::path& folder, const Options& options,
                 const std::vector<std::string>& files);

}  // namespace sigma::app
