// `sigma summary --draw FILE`: the network as a picture.
#pragma once

#include <string>
#include <vector>

#include "apps/report/drawing.h"
#include "layers/passes/trace.h"

namespace sigma::app {

// Throws kind usage unless the file ends in .svg or .png, before anything else.
void check_drawing_file(const std::string& file);
// `rows` are those of trace().
NetworkDrawing drawing_of(const std::string& title, const Module& model, const std::vector<TraceRow>& rows);
void draw_network(const std::string& file, const std::string& title, const Module& model,
                  const std::vector<TraceRow>& rows);

}  // namespace sigma::app
