import CLinux
import Platform

/// `trace FILE [PACKETS [SOURCES [SEED]]]`: writes a capture for measuring; see `TraceGenerator`.
@main enum Trace {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count >= 2 else {
      Console.error("usage: trace FILE [PACKETS [SOURCES [SEED]]]")
      exit(64)
    }
    var settings = TraceGenerator.Settings()
    if arguments.count > 2, let value = Int(arguments[2]) { settings.packets = value }
    if arguments.count > 3, let value = Int(arguments[3]) { settings.sources = value }
    if arguments.count > 4, let value = UInt64(arguments[4]) { settings.seed = value }
    let file = try FileDescriptor.open(arguments[1], O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
    var generator = TraceGenerator(settings)
    generator.begin()
    for _ in 0..<settings.packets {
      generator.step()
      if generator.output.count > 1 << 20 {
        try file.writeAll(generator.output)
        generator.removeOutput()
      }
    }
    try file.writeAll(generator.output)
  }
}
