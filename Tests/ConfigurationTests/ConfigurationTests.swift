import Response
import Testing
import Wire

@testable import Configuration

/// Reads `text` and gives the configuration and its diagnostics as lines.
func parse(_ text: String, as dialect: Dialect? = nil, preferring: Dialect? = nil) -> (Configuration, [String]) {
  let (configuration, diagnostics) = Configuration.parse(
    Array(text.utf8), path: "c", dialect: dialect, preferring: preferring)
  return (configuration, diagnostics.map(\.description))
}

/// The three keys without which 1.2 did not start, so that a table row yields only the diagnostics it is about.
let mandatory = "IGNORE_FILE=\"/i\"\nHISTORY_FILE=\"/h\"\nBLOCKED_FILE=\"/b\"\nUDP_PORTS=\"7\"\n"
