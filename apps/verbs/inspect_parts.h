// What the page of `sigma inspect` is made of.
#pragma once

#include "apps/report/plot.h"
#include "apps/verbs/inspect.h"

namespace sigma::app {

// Cells as texts, the first row the header.
struct InspectTable {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;

  std::string csv() const;
  std::string text() const;  // in columns, for the terminal
};

// A section: words, charts with a caption each, and a table. Where it has charts, `name`.png has them in so
// many columns, and `name`.csv their numbers.
struct InspectSection {
  std::string name, title;
  std::vector<std::string> words;
  std::vector<Chart> charts;
  std::vector<std::string> captions;
  int columns = 2, page_columns = 2;
  InspectTable numbers;  // of the charts
  InspectTable table;    // to read; may be empty
  std::string fold;      // charts are shown once these words are opened; empty: at once
};

std::string number_text(double value);  // to four digits; "no number" of one that is not finite
// Whether a table shows the step: some of them, more of the early ones.
bool is_shown(int64_t step, int64_t all);
std::string momentum_text(const std::optional<double>& momentum);

InspectSection state_section(const Inspection& r);
InspectSection statistics_section(const Inspection& r);
InspectSection variance_section(const Inspection& r);
InspectSection outputs_section(const Inspection& r);
InspectSection gap_section(const Inspection& r);
InspectSection batch_size_section(const Inspection& r);
InspectSection momentum_section(const Inspection& r);
InspectSection eps_section(const Inspection& r);
InspectSection pixels_section(const Inspection& r);
// Overview by depth, then of each layer.
InspectSection depth_section(const Inspection& r);
InspectSection distribution_section(const Inspection& r, bool gradients);

// In the order of the page; without those that the network gives no numbers for.
std::vector<InspectSection> inspection_sections(const Inspection& r);

}  // namespace sigma::app
