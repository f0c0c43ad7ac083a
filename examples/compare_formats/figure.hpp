#pragma once

#include <string>
#include <vector>

/// Pictures for a report: inline SVG, dark on white, told apart by shape as well as by colour, so
/// that they print.

/// Dots on a common scale: one line for each `row`, one mark for each of its values.
struct dot_chart {
  struct row {
    std::string label, note;     ///< on the left; the note is small and right of the label
    std::vector<double> values;  ///< one for each series; those that are not finite are left out
    bool heading = false;        ///< a line of text only
  };

  std::string axis;                 ///< what the values are
  std::vector<std::string> series;  ///< their names; a single one needs none
  std::vector<row> rows;
  double label_width = 190;
  bool monospace = false;  ///< for long labels
};

std::string drawn(const dot_chart& chart);

/// Histograms on a common logarithmic scale, one below the other.
struct histogram_chart {
  struct row {
    std::string label, note;
    std::vector<double> shares;  ///< per cent of all values in each bin
    double median;               ///< marked, when positive
  };

  std::string axis;
  int first, last, bins_per_decade;  ///< bins from 10^first to 10^last
  std::vector<row> rows;
};

std::string drawn(const histogram_chart& chart);
