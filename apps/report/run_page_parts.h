// Parts of the page of a run: what the network takes for what.
#pragma once

#include "report/page.h"
#include "report/run_page.h"

namespace sigma::run_page {

inline constexpr int64_t kPicture = 100;      // pixels that a small image is enlarged to, at most
inline constexpr size_t kMatrixClasses = 20;  // a matrix of more cannot be read

// A name from outside, as a page may show it.
std::string class_name(const RunReport& run, int64_t c);
void add_classes(Page& page, const RunReport& run);   // matrix, confusions and scores
void add_mistakes(Page& page, const RunReport& run);  // the gallery

}  // namespace sigma::run_page
