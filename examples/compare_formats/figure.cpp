#include "figure.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "text.hpp"

namespace {

constexpr double width = 760;
constexpr const char* ink = "#222";
constexpr const char* pale = "#666";
constexpr const char* rule = "#e2e2e2";
constexpr const char* colours[] = {"#1b4f8a", "#c0561b", "#4a7a3a", "#7a4a8a"};

/// An SVG picture that is being drawn.
class picture {
 public:
  explicit picture(double height)
      : text_(formatted("<svg viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
                        "role=\"img\" xmlns=\"http://www.w3.org/2000/svg\">\n",
                        width, height, width, height)) {}

  void line(double x1, double y1, double x2, double y2, const char* colour, double thick = 1) {
    text_ += formatted(
        "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
        "stroke-width=\"%.1f\"/>\n",
        x1, y1, x2, y2, colour, thick);
  }
  /// `anchor`: start, middle or end of the text is at x.
  void write(double x, double y, const std::string& what, const char* anchor = "start",
             const char* colour = ink, const char* kind = "") {
    text_ += formatted("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\" class=\"%s\">",
                       x, y, anchor, colour, kind);
    text_ += escaped(what) + "</text>\n";
  }
  /// 10 to the power n, centred at x.
  void write_power(double x, double y, int n) {
    text_ += formatted(
        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"%s\">10"
        "<tspan dy=\"-5\" font-size=\"9\">%s%d</tspan></text>\n",
        x, y, ink, n < 0 ? "\u2212" : "", std::abs(n));
  }
  /// The mark of series `which`: filled circle, open square, filled diamond, open circle.
  void mark(double x, double y, std::size_t which) {
    const char* const colour = colours[which % 4];
    switch (which % 4) {
      case 0:
        text_ +=
            formatted("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.2\" fill=\"%s\"/>\n", x, y, colour);
        break;
      case 1:
        text_ += formatted(
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"7\" height=\"7\" fill=\"#fff\" "
            "stroke=\"%s\" stroke-width=\"1.6\"/>\n",
            x - 3.5, y - 3.5, colour);
        break;
      case 2:
        text_ +=
            formatted("<path d=\"M%.1f %.1fl5 5l-5 5l-5-5z\" fill=\"%s\"/>\n", x, y - 5, colour);
        break;
      default:
        text_ += formatted(
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"#fff\" stroke=\"%s\" "
            "stroke-width=\"1.6\"/>\n",
            x, y, colour);
    }
  }
  void area(const std::string& path, const char* colour) {
    text_ += "<path d=\"" + path + "\" fill=\"" + colour + "\" fill-opacity=\"0.22\" stroke=\"" +
             colour + "\" stroke-width=\"1.2\" stroke-linejoin=\"round\"/>\n";
  }

  std::string finished() const { return text_ + "</svg>\n"; }

 private:
  std::string text_;
};

/// A range of numbers, rounded out to steps of 1, 2 or 5 times a power of ten.
struct scale {
  double low, high, step;

  scale(double from, double to) {
    const double room = std::max(to - from, 1e-9);
    const double power = std::pow(10, std::floor(std::log10(room / 6)));
    step = power;
    for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
      step = factor * power;
      if (room / step <= 8) break;
    }
    low = std::floor(from / step) * step;
    high = std::ceil(to / step) * step;
    if (high <= low) high = low + step;
  }
  double place(double value, double left, double right) const {
    return left + (value - low) / (high - low) * (right - left);
  }
  int ticks() const { return static_cast<int>(std::lround((high - low) / step)); }
  double tick(int i) const { return low + i * step; }
};

}  // namespace

std::string drawn(const dot_chart& chart) {
  double least = std::numeric_limits<double>::infinity(), most = -least;
  for (const dot_chart::row& row : chart.rows) {
    for (const double value : row.values) {
      if (!std::isfinite(value)) continue;
      least = std::min(least, value);
      most = std::max(most, value);
    }
  }
  if (least > most) return "<p>No finite values.</p>\n";
  const scale axis(least, most);
  const bool many = chart.series.size() > 1;
  const double line = 20, top = many ? 26 : 8, left = chart.label_width, right = width - 50;
  const double bottom = top + line * static_cast<double>(chart.rows.size());
  picture p(bottom + 44);

  for (int i = 0; i <= axis.ticks(); ++i) {
    const double x = axis.place(axis.tick(i), left, right);
    p.line(x, top, x, bottom, rule);
    p.write(x, bottom + 16, formatted("%g", axis.tick(i)), "middle");
  }
  p.line(left, bottom, right, bottom, ink);
  p.write((left + right) / 2, bottom + 36, chart.axis, "middle");

  double y = top + line / 2;
  bool named = false;
  for (const dot_chart::row& row : chart.rows) {
    if (row.heading) {
      p.write(0, y + 4, row.label, "start", ink, "strong");
      y += line;
      continue;
    }
    p.write(left - (row.note.empty() ? 10 : 72), y + 4, row.label, "end", ink,
            chart.monospace ? "code" : "");
    if (!row.note.empty()) p.write(left - 10, y + 4, row.note, "end", pale, "small");
    p.line(left, y, right, y, "#f0f0f0");
    double rightmost = left;
    for (std::size_t i = 0; i < row.values.size(); ++i) {
      if (!std::isfinite(row.values[i])) continue;
      const double x = axis.place(row.values[i], left, right);
      rightmost = std::max(rightmost, x);
      p.mark(x, y, i);
      if (many && !named) p.write(x, top - 10, chart.series[i], "middle", colours[i % 4], "small");
    }
    named = true;
    if (!many && !row.values.empty()) {
      const double value = row.values[0];
      const std::string text = std::isfinite(value) ? formatted("%.1f", value)
                               : std::isinf(value)  ? "exact"
                                                    : "not finite";
      p.write(rightmost + 9, y + 4, text, "start", pale, "small");
    }
    y += line;
  }
  return p.finished();
}

std::string drawn(const histogram_chart& chart) {
  double most = 0;
  for (const histogram_chart::row& row : chart.rows) {
    for (const double share : row.shares) most = std::max(most, share);
  }
  const double line = 66, top = 6, left = 130, right = width - 120;
  const double bottom = top + line * static_cast<double>(chart.rows.size());
  picture p(bottom + 44);
  const int decades = chart.last - chart.first;
  const auto place = [&](double exponent) {
    return left + (exponent - chart.first) / decades * (right - left);
  };
  for (int i = chart.first; i <= chart.last; ++i) {
    p.line(place(i), top, place(i), bottom, rule);
    p.write_power(place(i), bottom + 18, i);
  }
  p.write((left + right) / 2, bottom + 38, chart.axis, "middle");
  double base = top + line;
  for (const histogram_chart::row& row : chart.rows) {
    const auto height = [&](double share) { return (line - 18) * share / std::max(most, 1e-9); };
    std::string path = formatted("M%.1f %.1f", left, base);
    for (std::size_t i = 0; i < row.shares.size(); ++i) {
      const double at = chart.first + static_cast<double>(i) / chart.bins_per_decade;
      path += formatted("V%.1fH%.1f", base - height(row.shares[i]),
                        place(at + 1.0 / chart.bins_per_decade));
    }
    path += formatted("V%.1f", base);
    p.area(path, colours[0]);
    p.line(left, base, right, base, ink, 0.8);
    if (row.median > 0) {
      const double x = place(std::log10(row.median));
      p.line(x, base - line + 6, x, base, colours[1], 1.4);
      p.write(x + 4, base - line + 14, formatted("%#.2g", row.median), "start", colours[1],
              "small");
    }
    p.write(left - 10, base - 6, row.label, "end");
    p.write(right + 10, base - 6, row.note, "start", pale, "small");
    base += line;
  }
  return p.finished();
}
