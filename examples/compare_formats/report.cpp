#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "comparison.hpp"
#include "figure.hpp"
#include "text.hpp"

namespace {

constexpr const char* style = R"(
body { font: 15px/1.5 "Helvetica Neue", Helvetica, Arial, sans-serif; color: #222; background: #fff;
       max-width: 780px; margin: 2.5em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: 0.2em; }
.from { color: #666; margin-top: 0; overflow-wrap: anywhere; }
figure { margin: 2.2em 0; break-inside: avoid; }
figcaption { font-size: 14px; margin-top: 0.4em; }
svg { max-width: 100%; height: auto; font: 12px "Helvetica Neue", Helvetica, Arial, sans-serif; }
svg text { paint-order: stroke; stroke: #fff; stroke-width: 3px; stroke-linejoin: round; }
svg .small { font-size: 11px; }
svg .strong { font-weight: 600; }
svg .code { font: 11px "DejaVu Sans Mono", Menlo, Consolas, monospace; }
table { border-collapse: collapse; font-size: 11px; width: 100%; }
th { text-align: right; border-bottom: 1.5px solid #222; border-top: 1.5px solid #222; }
td { text-align: right; border-bottom: 1px solid #e2e2e2; font-variant-numeric: tabular-nums; }
th, td { padding: 2px 4px; white-space: nowrap; }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left; }
tr { break-inside: avoid; }
@media print { body { margin: 0 auto; padding: 0; } table { font-size: 9px; } }
)";

/// Rows as they come: the format's own scale rule, rounded to nearest even.
std::vector<const compared*> as_they_come(const comparison& all) {
  std::vector<const compared*> rows;
  for (const compared& row : all.rows) {
    if (row.how.rounding == "nearest_even" && row.how.scale == scale_rules(row.how.format)[0]) {
      rows.push_back(&row);
    }
  }
  return rows;
}

/// Those of `rows` in the formats that are told best apart; the first few if there are none.
std::vector<const compared*> shown_formats(const std::vector<const compared*>& rows,
                                           std::size_t most) {
  std::vector<const compared*> result;
  for (const char* name : {"mxfp4", "nvfp4", "mxfp6_e2m3", "mxfp8_e4m3", "mxint8"}) {
    for (const compared* row : rows) {
      if (row->how.format == name && result.size() < most) result.push_back(row);
    }
  }
  for (const compared* row : rows) {
    if (!result.empty() && result.front()->how.format != row->how.format && result.size() > 1)
      break;
    if (std::find(result.begin(), result.end(), row) == result.end() && result.size() < most) {
      result.push_back(row);
    }
  }
  return result;
}

class page {
 public:
  explicit page(const comparison& all) {
    const std::string name = escaped(all.file.substr(all.file.find_last_of('/') + 1));
    text_ =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Formats compared: " +
        name + "</title>\n<style>" + style +
        "</style>\n</head>\n<body>\n<h1>Formats compared: " + name + "</h1>\n<p class=\"from\">" +
        escaped(all.file) + ": " + std::to_string(all.matrices.size()) + " matrices, " +
        with_commas(all.values()) + " values</p>\n";
  }

  void figure(const std::string& picture, const std::string& caption) {
    text_ += "<figure>\n" + picture + "<figcaption><b>Figure " + std::to_string(++figures_) +
             ".</b> " + caption + "</figcaption>\n</figure>\n";
  }
  void add(const std::string& html) { text_ += html; }
  std::string finished() const { return text_ + "</body>\n</html>\n"; }

 private:
  std::string text_;
  int figures_ = 0;
};

void draw_formats(page& out, const comparison& all) {
  std::vector<const compared*> rows = as_they_come(all);
  if (rows.size() < 2) return;
  std::stable_sort(rows.begin(), rows.end(), [](const compared* a, const compared* b) {
    return a->total.errors.sqnr() > b->total.errors.sqnr();
  });
  dot_chart chart;
  chart.axis = "SQNR, dB";
  chart.label_width = 200;
  for (const compared* row : rows) {
    chart.rows.push_back({row->how.format,
                          formatted("%.2f bit", row->total.bits_per_value()),
                          {row->total.errors.sqnr()}});
  }
  out.figure(drawn(chart),
             "Signal to quantization noise of each block format over all matrices, with its own "
             "scale rule, rounded to nearest even. Higher is better; 6 dB halve the error. Bits "
             "per value include the scales.");
}

/// Rows of the same format that differ in one thing only, a group for each format with at least 2.
void draw_alternatives(page& out, const comparison& all,
                       const std::function<bool(const choice&)>& belongs,
                       const std::function<std::string(const choice&)>& label,
                       const std::string& caption) {
  dot_chart chart;
  chart.axis = "SQNR, dB";
  std::vector<std::string> formats;
  for (const compared& row : all.rows) {
    const std::string& f = row.how.format;
    if (std::find(formats.begin(), formats.end(), f) == formats.end()) formats.push_back(f);
  }
  for (const std::string& format : formats) {
    std::vector<const compared*> group;
    for (const compared& row : all.rows) {
      if (row.how.format == format && belongs(row.how)) group.push_back(&row);
    }
    if (group.size() < 2) continue;
    std::stable_sort(group.begin(), group.end(), [](const compared* a, const compared* b) {
      return a->total.errors.sqnr() > b->total.errors.sqnr();
    });
    chart.rows.push_back({format, {}, {}, true});
    for (const compared* row : group) {
      chart.rows.push_back({label(row->how), {}, {row->total.errors.sqnr()}});
    }
  }
  if (!chart.rows.empty()) out.figure(drawn(chart), caption);
}

void draw_histograms(page& out, const comparison& all) {
  const std::vector<const compared*> rows = shown_formats(as_they_come(all), 5);
  if (rows.empty()) return;
  histogram_chart chart{"|error| / rms of the matrix", -4, 0, error_histogram::bins_per_decade, {}};
  double tallest = 0;
  for (const compared* row : rows) {
    const error_histogram& h = row->total.histogram;
    std::vector<double> shares;
    for (int i = 0; i < error_histogram::bins; ++i) {
      if (h.exponent(i) < chart.first || h.exponent(i) >= chart.last) continue;
      shares.push_back(100 * static_cast<double>(h.counts[static_cast<std::size_t>(i)]) /
                       static_cast<double>(row->total.errors.count));
      tallest = std::max(tallest, shares.back());
    }
    chart.rows.push_back(
        {row->how.format, formatted("99.9 %% < %.2g", h.quantile(0.999)), shares, h.quantile(0.5)});
  }
  out.figure(drawn(chart),
             "How large the errors are: share of values per 1/8 decade of the error's size, as a "
             "fraction of the matrix's root mean square; all rows to one scale, the tallest bin "
             "holds " +
                 formatted("%.1f %%", tallest) +
                 ". The mark is the median; on the right, what 999 of 1000 errors are below.");
}

void draw_worst(page& out, const comparison& all) {
  const std::vector<const compared*> series = shown_formats(as_they_come(all), 3);
  if (series.empty()) return;
  std::vector<std::size_t> order(all.matrices.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return series[0]->each[a].errors.sqnr() < series[0]->each[b].errors.sqnr();
  });
  constexpr std::size_t most = 15;
  if (order.size() > most) order.resize(most);
  dot_chart chart;
  chart.axis = "SQNR, dB";
  chart.label_width = 380;
  chart.monospace = true;
  for (const compared* one : series) chart.series.push_back(one->how.format);
  for (const std::size_t i : order) {
    const comparison::matrix& m = all.matrices[i];
    dot_chart::row row{
        shortened(m.name, 46), std::to_string(m.rows) + "\u00d7" + std::to_string(m.cols), {}};
    for (const compared* one : series) row.values.push_back(one->each[i].errors.sqnr());
    chart.rows.push_back(row);
  }
  const std::string which = order.size() < all.matrices.size()
                                ? "The " + std::to_string(order.size()) + " matrices of " +
                                      std::to_string(all.matrices.size()) + " that lose most"
                                : "The matrices, those that lose most first";
  out.figure(drawn(chart), which + " in " + series[0]->how.format + ".");
}

void add_table(page& out, const comparison& all) {
  out.add(
      "<h2>All measurements</h2>\n<table>\n<thead><tr><th>format</th><th>scale rule</th>"
      "<th>rounding</th><th>bits/value</th><th>MSE</th><th>SQNR, dB</th><th>cosine</th>"
      "<th>time, ms</th><th>GB/s</th></tr></thead>\n");
  for (const compared& row : all.rows) {
    const measurement& m = row.total;
    out.add("<tr><td>" + escaped(row.how.format) + "</td><td>" + escaped(row.how.scale) +
            "</td><td>" + escaped(row.how.rounding) + "</td>" +
            formatted("<td>%.3f</td><td>%.3e</td><td>%.2f</td><td>%.6f</td><td>%.2f</td>"
                      "<td>%.3f%s</td></tr>\n",
                      m.bits_per_value(), unsigned_nan(m.errors.mse()),
                      unsigned_nan(m.errors.sqnr()), unsigned_nan(m.errors.cosine()),
                      1000 * m.seconds, m.gigabytes_per_second(), is_compiled(row.how) ? "" : "*"));
  }
  out.add(
      "</table>\n<p>MSE: mean squared error. SQNR: 10 log<sub>10</sub> of the sum of squares over "
      "the sum of squared errors. Cosine: of the angle between the values before and after. Time: "
      "of quantization, and the float input it reads in a second; with *, of policies that were "
      "chosen at run time, slower than the library with them.</p>\n");
}

}  // namespace

std::string report(const comparison& all) {
  page out(all);
  draw_formats(out, all);
  draw_alternatives(
      out, all, [](const choice& how) { return how.rounding == "nearest_even"; },
      [](const choice& how) { return how.scale; },
      "What the scale rule is worth, rounded to nearest even.");
  draw_alternatives(
      out, all, [](const choice& how) { return how.scale == scale_rules(how.format)[0]; },
      [](const choice& how) { return how.rounding; },
      "What the rounding costs, with each format's own scale rule. Directed and stochastic "
      "roundings are not there to be near: stochastic ones are right on average.");
  draw_histograms(out, all);
  draw_worst(out, all);
  add_table(out, all);
  return out.finished();
}
