import Configuration
import Response

/// A configuration, the first byte chooses the dialect.
func fuzzConfiguration(_ bytes: [UInt8]) {
  let dialects: [Dialect?] = [nil, .classic, .modern]
  let dialect = bytes.first.flatMap { dialects[Int($0) % 3] }
  let (_, diagnostics) = Configuration.parse(Array(bytes.dropFirst()), path: "fuzz.conf", dialect: dialect)
  check(diagnostics)
}

func fuzzIgnoreFile(_ bytes: [UInt8]) {
  let (networks, diagnostics) = IgnoreFile.parse(
    bytes, path: "fuzz.ignore", dialect: bytes.count % 2 == 0 ? .classic : .modern)
  for network in networks.sorted { precondition(networks.contains(network.address)) }
  check(diagnostics)
}

func fuzzDefaultsFile(_ bytes: [UInt8]) {
  let (_, _, diagnostics) = DefaultsFile.parse(bytes, path: "fuzz.default")
  check(diagnostics)
}

/// What is wrong is said on one line, without anything a terminal would obey, and in bounded number.
private func check(_ diagnostics: [Diagnostic]) {
  precondition(diagnostics.count <= 201)
  for scalar in diagnostics.lazy.flatMap(\.description.unicodeScalars) {
    precondition(![.control, .format, .lineSeparator, .paragraphSeparator].contains(scalar.properties.generalCategory))
  }
}
