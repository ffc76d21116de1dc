// Tensors as text. The rules are those of PyTorch's torch/_tensor_str.py, so that a tensor reads the same in
// both.
#include <cmath>
#include <ostream>

#include "core/tensor.h"

namespace sigma {
namespace {

constexpr int64_t kSummarize = 1000;  // elements above which only the edges are shown
constexpr int64_t kEdge = 3;          // of each dimension
constexpr size_t kLine = 80;          // characters

// How all numbers of one tensor are written: with as many digits as the smallest and the largest need.
class Style {
 public:
  Style(const std::vector<double>& values, bool whole) : integer_type_(whole) {
    double smallest = 0, largest = 0;
    bool any = false;
    for (double v : values) {
      if (whole) width_ = std::max(width_, fmt::format("{:.0f}", v).size());
      if (!std::isfinite(v) || v == 0) continue;
      const double size = std::fabs(v);
      smallest = any ? std::min(smallest, size) : size;
      largest = any ? std::max(largest, size) : size;
      any = true;
      whole_ &= v == std::ceil(v);
    }
    if (whole || !any) return;
    scientific_ = largest / smallest > 1000 || largest > 1e8 || (!whole_ && smallest < 1e-4);
    for (double v : values)
      if (std::isfinite(v) && v != 0) width_ = std::max(width_, plain(v).size());
  }

  size_t width() const { return width_; }
  std::string text(double v) const {
    const std::string s = integer_type_ ? fmt::format("{:.0f}", v) : plain(v);
    return std::string(width_ > s.size() ? width_ - s.size() : 0, ' ') + s;
  }

 private:
  std::string plain(double v) const {
    if (!std::isfinite(v)) return std::isnan(v) ? "nan" : v < 0 ? "-inf" : "inf";
    if (scientific_) return fmt::format("{:.4e}", v);
    return whole_ ? fmt::format("{:.0f}.", v) : fmt::format("{:.4f}", v);
  }
  bool integer_type_, whole_ = true, scientific_ = false;
  size_t width_ = 1;
};

// The elements that are shown, each as text of one width.
class Printer {
 public:
  explicit Printer(const Tensor& t) : shape_(t.shape()), all_(t.numel() <= kSummarize), t_(t.contiguous()) {
    collect(0, 0);
    const bool whole = t.dtype() == DType::uint8 || t.dtype() == DType::int64;
    std::vector<double> re, im;
    dispatch_any(t.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T* p = t_.data<T>();
      for (int64_t i : shown_) {
        if constexpr (is_complex_type<T>) {
          re.push_back(static_cast<double>(p[i].real()));
          im.push_back(static_cast<double>(p[i].imag()));
        } else if constexpr (std::is_same_v<T, int64_t>) {
          texts_.push_back(std::to_string(p[i]));  // beyond 2^53, where float64 has gaps
          width_ = std::max(width_, texts_.back().size());
        } else {
          re.push_back(static_cast<double>(p[i]));
        }
      }
    });
    if (t.dtype() == DType::int64) {
      for (std::string& s : texts_) s.insert(0, width_ - s.size(), ' ');
      return;
    }
    const Style real(re, whole), imaginary(im, false);
    width_ = real.width();
    for (size_t i = 0; i < re.size(); ++i) texts_.push_back(real.text(re[i]));
    if (im.empty()) return;
    width_ += imaginary.width() + 1;
    for (size_t i = 0; i < im.size(); ++i) {
      std::string s = imaginary.text(im[i]);
      s.erase(0, s.find_first_not_of(' '));
      texts_[i] += (s[0] == '-' ? "" : "+") + s + "j";
    }
  }

  std::string text(int dim, size_t indent) {
    if (shape_.rank() == 0) return texts_[0];
    const int64_t size = shape_[dim];
    const bool cut = !all_ && size > 2 * kEdge;
    const bool vector = dim == shape_.rank() - 1;
    std::vector<std::string> items;
    for (int64_t i = 0; i < size; ++i) {
      if (cut && i == kEdge) {
        items.push_back(vector ? " ..." : "...");
        i = size - kEdge;
      }
      items.push_back(vector ? texts_[next_++] : text(dim + 1, indent + 1));
    }
    // Numbers fill lines; what is within brackets starts a line each, with empty ones in higher dimensions.
    const size_t room = kLine > indent ? kLine - indent : 0;
    const size_t per_line = vector ? std::max<size_t>(1, room / (width_ + 2)) : 1;
    const std::string feed = std::string(vector ? 1 : static_cast<size_t>(shape_.rank() - dim - 1), '\n');
    std::string out = "[";
    for (size_t i = 0; i < items.size(); ++i) {
      if (i) out += i % per_line ? ", " : "," + feed + std::string(indent + 1, ' ');
      out += items[i];
    }
    return out + "]";
  }

 private:
  // The offsets of the elements that are shown, in their order.
  void collect(int dim, int64_t offset) {
    if (dim == shape_.rank()) {
      shown_.push_back(offset);
      return;
    }
    const int64_t size = shape_[dim];
    for (int64_t i = 0; i < size; ++i) {
      if (!all_ && size > 2 * kEdge && i == kEdge) i = size - kEdge;
      collect(dim + 1, offset * size + i);
    }
  }

  Shape shape_;
  bool all_;
  Tensor t_;
  std::vector<int64_t> shown_;
  std::vector<std::string> texts_;
  size_t width_ = 1, next_ = 0;
};

}  // namespace

std::string to_string(const Tensor& t, const std::string& suffix) {
  if (!t.defined()) return "tensor(undefined)";
  std::string s = "tensor(" + (t.numel() == 0 ? "[]" : Printer(t).text(0, 7));
  auto add = [&](const std::string& part) {
    const size_t feed = s.rfind('\n');
    const size_t here = s.size() - (feed == std::string::npos ? 0 : feed + 1);
    s += here + part.size() + 3 > kLine ? ",\n       " + part : ", " + part;
  };
  add("shape=" + t.shape().str());
  add(fmt::format("dtype={}", name_of(t.dtype())));
  if (!suffix.empty()) add(suffix);
  return s + ")";
}

std::ostream& operator<<(std::ostream& out, const Tensor& t) { return out << to_string(t); }

std::string Tensor::str(int64_t max_elements) const {
  if (!defined()) return "Tensor(undefined)";
  std::string s = fmt::format("Tensor({}, {}, [", shape_.str(), name_of(dtype_));
  const int64_t count = std::min(numel_, max_elements);
  if (is_complex(dtype_)) {
    Tensor t = contiguous().to(DType::complex128);
    const std::complex<double>* z = t.data<std::complex<double>>();
    for (int64_t i = 0; i < count; ++i)
      s += fmt::format("{}{:.6g}{:+.6g}i", i ? ", " : "", z[i].real(), z[i].imag());
  } else {
    std::vector<double> v = to_vector();
    for (int64_t i = 0; i < count; ++i)
      s += fmt::format("{}{:.6g}", i ? ", " : "", v[static_cast<size_t>(i)]);
  }
  return s + (numel_ > max_elements ? ", ...])" : "])");
}

}  // namespace sigma
