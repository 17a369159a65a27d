// swift-tools-version: 6.2
import PackageDescription

/// One list of settings for every Swift target of ours: language mode 6 (strict concurrency), strict memory
/// safety, every warning an error.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableExperimentalFeature("Lifetimes"),
]

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies + ["TestSupport"], swiftSettings: settings)
}

let package = Package(
  name: "PortSentry",
  products: [.executable(name: "portsentry", targets: ["portsentry"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    .target(name: "CLinux"),
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
    module("Wire"),
    module("Memory", ["CLinux"]),
    module("Platform", ["CLinux", "Wire"]),
    module("Notify", ["Platform", "Wire"]),
    module("CrowdSec", ["Notify", "Platform", "Wire"]),
    module("Confinement", ["CLinux", "Platform", "Wire"]),
    module("Detection", ["Memory", "Wire"]),
    module("Capture", ["CLinux", "CZlib", "Platform", "Wire"]),
    module("Host", ["CLinux", "Platform", "Wire", "Capture", "Detection"]),
    module("Response", ["CLinux", "Wire", "Detection", "Platform"]),
    module("Enforcement", ["CLinux", "Wire", "Platform", "Confinement", "CrowdSec", "Response", "Configuration"]),
    module("Fleet", ["Memory", "Wire"]),
    module("Signing", ["COpenSSL", "Fleet"]),
    module("EventLog", ["Wire", "Detection", "Response", "Platform"]),
    module("Database", ["CSQLite"]),
    module("Journal", ["CLinux", "Wire", "Platform", "Detection", "Response", "Database"]),
    module("GeoIP", ["Wire"]),
    module("Report", ["Wire", "Platform", "GeoIP", "Detection", "Response", "EventLog", "Database", "Journal"]),
    // Not optimised: moving code out of its loops keeps the compiler (6.3) busy for ever, and a carrier waits for its engine.
    .target(
      name: "Carrier", dependencies: ["CLinux", "Wire", "Platform", "Confinement", "Fleet", "Signing"],
      swiftSettings: settings + [.unsafeFlags(["-Onone"], .when(configuration: .release))]),
    module("Configuration", ["CrowdSec", "Wire", "Detection", "Response", "Platform", "Notify"]),
    module(
      "Daemon",
      [
        "CLinux", "Wire", "Platform", "Capture", "Detection", "Host", "Response", "EventLog", "Database",
        "Journal", "Report", "Configuration", "Confinement", "CrowdSec", "Enforcement",
        "Notify", "Carrier", "Fleet", "Signing",
      ]),
    module(
      "Page",
      [
        "CLinux", "Wire", "Platform", "GeoIP", "Detection", "Response", "Database", "Journal", "Report",
        "Configuration", "Confinement", "Daemon",
      ]),
    module(
      "Watch", ["CLinux", "Wire", "Platform", "GeoIP", "Detection", "Database", "Journal", "Report", "Daemon"]),
    .executableTarget(
      name: "portsentry",
      dependencies: [
        "Capture", "Carrier", "Daemon", "Configuration", "Database", "Detection", "Enforcement", "EventLog", "Fleet",
        "GeoIP",
        "Journal",
        "Notify", "Page", "Platform", "Report", "Response", "Signing", "Watch", "Wire",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "trace", dependencies: ["CLinux", "Platform"], path: "Benchmarks/Trace", swiftSettings: settings),
    .target(
      name: "Strangers", dependencies: ["Detection", "Wire"], path: "Benchmarks/Strangers", swiftSettings: settings),
    .executableTarget(
      name: "trials", dependencies: ["CLinux", "Detection", "Platform", "Strangers", "Wire"], path: "Benchmarks/Trials",
      swiftSettings: settings),
    .target(
      name: "TestSupport", dependencies: ["CLinux", "Wire", "Platform"], path: "Tests/TestSupport",
      swiftSettings: settings),
    .target(
      name: "Simulation", dependencies: ["Wire", "Detection", "Response", "Journal", "TestSupport"],
      path: "Tests/Simulation", swiftSettings: settings),
    .executableTarget(
      name: "simulate", dependencies: ["CLinux", "Wire", "Platform", "Journal", "Simulation"], path: "Tests/Simulate",
      swiftSettings: settings),
    tests("WireTests", ["Wire", "CLinux"]),
    tests("PlatformTests", ["Platform", "CLinux", "Wire"]),
    tests("NotifyTests", ["Notify", "Platform", "Wire"]),
    tests("CrowdSecTests", ["CrowdSec", "Platform", "Wire"]),
    tests("ConfinementTests", ["CLinux", "Confinement", "Platform"]),
    tests("DetectionTests", ["Detection", "Strangers", "Wire"]),
    tests("CaptureTests", ["Capture", "CZlib", "Wire", "Detection", "Host", "Platform", "CLinux"]),
    tests("ResponseTests", ["Response", "CLinux", "Wire", "Detection", "Platform"]),
    tests(
      "EnforcementTests",
      ["Enforcement", "CLinux", "Configuration", "Confinement", "Response", "Wire", "Detection", "Platform"]),
    tests("FleetTests", ["Fleet", "Signing", "Wire"]),
    tests("EventLogTests", ["EventLog", "Response", "Wire", "Detection", "Platform"]),
    tests("JournalTests", ["Journal", "Database", "Response", "Wire", "Detection", "Platform", "CLinux"]),
    tests("GeoIPTests", ["GeoIP", "Wire"]),
    tests(
      "ReportTests",
      [
        "Report", "Journal", "Database", "GeoIP", "EventLog", "Response", "Wire", "Detection", "Platform", "Simulation",
      ]),
    tests(
      "PageTests",
      [
        "Page", "Report", "Journal", "Database", "Configuration", "Confinement", "Daemon", "Response", "Wire",
        "Detection", "Platform",
      ]),
    tests("WatchTests", ["Watch", "Report", "Journal", "Wire", "Detection", "Platform"]),
    tests("CarrierTests", ["Carrier", "Fleet", "Signing", "Platform", "Wire"]),
    tests("ConfigurationTests", ["Configuration", "Notify", "Response", "Wire", "Detection", "Platform"]),
    tests("DocumentationTests", ["Configuration", "EventLog", "Platform", "Wire", "Detection"]),
    tests(
      "DaemonTests",
      [
        "Daemon", "CLinux", "Capture", "Configuration", "Confinement", "CrowdSec", "Database", "Enforcement",
        "EventLog", "Journal",
        "Notify", "Response", "Wire", "Detection", "Platform", "Simulation", "Strangers",
      ]),
  ]
)
