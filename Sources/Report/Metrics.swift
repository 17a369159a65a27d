import Journal

/// A metric for Prometheus, in its text format (version 0.0.4).
package struct Metric: Sendable {
  package enum Kind: String, Sendable { case counter, gauge }

  package struct Sample: Sendable {
    package var labels: [(name: StaticString, value: String)]
    package var value: UInt64

    package init(_ labels: [(name: StaticString, value: String)] = [], _ value: UInt64) {
      self.labels = labels
      self.value = value
    }
  }

  package let name: StaticString
  package let kind: Kind
  package let help: StaticString
  package let samples: [Sample]

  /// - Parameter name: without the `portsentry_` that all have.
  package init(_ name: StaticString, _ kind: Kind, _ help: StaticString, _ samples: [Sample]) {
    self.name = name
    self.kind = kind
    self.help = help
    self.samples = samples
  }

  package init(_ name: StaticString, _ kind: Kind, _ help: StaticString, _ value: UInt64) {
    self.init(name, kind, help, [Sample([], value)])
  }

  package init(
    _ name: StaticString, _ kind: Kind, _ help: StaticString, by label: StaticString, _ values: [(String, UInt64)]
  ) {
    self.init(name, kind, help, values.map { Sample([(label, $0.0)], $0.1) })
  }
}

package enum Metrics {
  package static func text(_ metrics: [Metric]) -> String {
    var text = ""
    for metric in metrics where !metric.samples.isEmpty {
      text +=
        "# HELP portsentry_\(metric.name) \(metric.help)\n# TYPE portsentry_\(metric.name) \(metric.kind.rawValue)\n"
      for sample in metric.samples {
        let labels = sample.labels.map { "\($0.name)=\"\(escaped($0.value))\"" }.joined(separator: ",")
        text += "portsentry_\(metric.name)\(labels.isEmpty ? "" : "{\(labels)}") \(sample.value)\n"
      }
    }
    return text
  }

  /// Label values escape backslash, quote and newline; other control characters have no business in them.
  private static func escaped(_ value: String) -> String {
    var result = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\"": result += "\\\""
      case "\n": result += "\\n"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f: result += "?"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// What the journal adds: the last 24 hours, by port, class of verdict and tool.
  package static func journal(
    ports: [PortLine], scans: [(String, UInt64)], tools: [ToolLine], sources: UInt64
  ) -> [Metric] {
    [
      Metric("day_sources", .gauge, "Distinct sources of the last 24 hours.", sources),
      Metric(
        "day_port_probes", .gauge, "Probes of the last 24 hours to the ports most asked for.",
        ports.compactMap { line in
          line.port.port.map {
            Metric.Sample([("protocol", "\(line.port.family)"), ("port", String($0))], line.probes)
          }
        }),
      Metric("day_verdicts", .gauge, "Verdicts of the last 24 hours by class.", by: "class", scans),
      Metric(
        "day_tool_sources", .gauge, "Sources of the last 24 hours by the tool that they use.", by: "tool",
        tools.map { ($0.tool.name, $0.sources) }),
    ]
  }
}
