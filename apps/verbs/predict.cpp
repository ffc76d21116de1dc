// `sigma predict`: the classes of image files, by a checkpoint.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "apps/flags/verb.h"
#include "apps/report/csv.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "apps/training/predictions.h"
#include "apps/verbs/saved_model.h"
#include "core/parallel.h"
#include "core/text.h"
#include "data/formats/image.h"
#include "data/formats/image_paths.h"

namespace sigma::app {
namespace {

// Class numbers from the most to the least probable, and all probabilities.
struct Guess {
  std::vector<size_t> order;
  std::vector<double> probability;
};

// Each image alone: what is said of it does not depend on those beside it.
Guess guess(const SavedModel& m, const Tensor& pixels) {
  NoGrad off;
  Guess g;
  const std::vector<double> logits =
      (*m.model)(Variable(normalized_images(pixels, {0}, m.normalization))).value().to_vector();
  g.probability = softmax_of(logits.data(), static_cast<int64_t>(logits.size()));
  g.order.resize(logits.size());
  std::iota(g.order.begin(), g.order.end(), 0);
  std::stable_sort(g.order.begin(), g.order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  return g;
}

// A file that was read, or why it could not be.
struct Decoded {
  Tensor pixels;
  std::optional<Error> error;
};

Decoded decode(const SavedModel& m, const std::string& path) {
  Decoded d;
  try {
    d.pixels = image_for(m, read_image(path), path);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::internal || e.kind() == ErrorKind::memory) throw;
    d.error = e;
  }
  return d;
}

class Predict : public Verb {
 public:
  Predict() : Verb("predict", "top classes of image files") {
    use("--checkpoint", "", kRequired);
    words("images", images_, "PNG or JPEG files, folders of them, or patterns such as 'photos/*.jpg'", true);
    flag("--top", top_, "classes to name", kPlain, {at_least(1)});
    flag("--format", format_, "text|csv|jsonl: lines for people, a table, or an object an image", kPlain,
         {one_of({"text", "csv", "jsonl"})});
    example("predict --checkpoint runs/train/weights/best.safetensors digit.png",
            "the most likely classes of a picture");
    example("predict --checkpoint runs/train/weights/best.safetensors --format csv photos > classes.csv",
            "a table of all pictures of a folder");
  }

  int run(const Options& o) override {
    const SavedModel m = model_of(o);
    const ImagePaths found = find_images(images_);
    install_signal_handlers();
    Output out(o, m, format_, std::min<size_t>(static_cast<size_t>(top_), m.class_names.size()));
    for (const ImagePaths::Problem& p : found.problems) out.bad(p.word, p.what);
    constexpr size_t kTogether = 64;  // are decoded side by side; more need not be in memory
    for (size_t at = 0; at < found.files.size(); at += kTogether) {
      std::vector<Decoded> some(std::min(kTogether, found.files.size() - at));
      parallel_for(static_cast<int64_t>(some.size()), [&](int64_t i) {
        some[static_cast<size_t>(i)] = decode(m, found.files[at + static_cast<size_t>(i)]);
      });
      for (size_t i = 0; i < some.size(); ++i) {
        if (int s = stop_signal()) throw Stopped{s};
        const std::string& path = found.files[at + i];
        if (some[i].error)
          out.bad(path, *some[i].error);
        else
          out.good(path, guess(m, some[i].pixels));
      }
    }
    return out.finish(found.others);
  }

 private:
  // Line by line, so that a folder may hold any number of images.
  class Output {
   public:
    Output(const Options& o, const SavedModel& m, const std::string& format, size_t top)
        : o_(o), m_(m), format_(format), top_(top) {
      if (format_ == "csv") print(csv_header());
    }

    void good(const std::string& path, const Guess& g) {
      ++good_;
      Json top = Json::array();
      std::string text = printable(path) + ":", cells = csv_cell(path);
      for (size_t k = 0; k < top_; ++k) {
        const std::string& name = m_.class_names[g.order[k]];
        const double p = g.probability[g.order[k]];
        text += fmt::format("{} {} {:.1f}%", k ? "," : "", name, 100 * p);
        cells += fmt::format(",{},{:.6f}", csv_cell(name), p);
        top.push_back({{"class", name}, {"probability", p}});
      }
      if (format_ == "csv") print(cells);
      if (format_ == "text" && !o_.quiet) print(text);
      const Json one{{"image", printable(path)}, {"top", top}};
      if (format_ == "jsonl") print_json(one);
      if (o_.json) all_.push_back(one);
    }
    void bad(const std::string& path, const Error& e) {
      const std::string place = std::string(e.place()) + ": ", all = e.what();
      const bool named = e.place() == path && all.starts_with(place);
      bad(path, named ? all.substr(place.size()) : all);
    }
    void bad(const std::string& path, const std::string& why) {
      const Json one{{"image", printable(path)}, {"error", printable(why)}};
      note(fmt::format("error: {}: {}", printable(path), printable(why)));
      if (format_ == "jsonl") print_json(one);
      if (o_.json) bad_.push_back(one);
      ++failed_;
    }
    int finish(int64_t others) {
      if (others > 0 && !o_.quiet)
        note(fmt::format("{} other file{} passed over: no PNG or JPEG by name", others,
                         others == 1 ? " was" : "s were"));
      if (failed_ > 0 && good_ + failed_ > 1)
        note(fmt::format("error: {} of {} could not be read", failed_, good_ + failed_));
      if (o_.json) print_json({{"predictions", all_}, {"errors", bad_}});
      return failed_ > 0 ? static_cast<int>(ErrorKind::data) : 0;
    }

   private:
    std::string csv_header() const {
      std::string text = "file,class,probability";
      for (size_t k = 2; k <= top_; ++k) text += fmt::format(",class_{0},probability_{0}", k);
      return text;
    }

    const Options& o_;
    const SavedModel& m_;
    const std::string& format_;
    size_t top_;
    int64_t good_ = 0, failed_ = 0;
    Json all_ = Json::array(), bad_ = Json::array();
  };

  std::vector<std::string> images_;
  int64_t top_ = 3;
  std::string format_ = "text";
};

const RegisterVerb<Predict> register_predict(50);

}  // namespace
}  // namespace sigma::app
