import CLinux

/// One binary for all fuzzers: FUZZ_TARGET names the one to run. A target takes any bytes and must not trap; what it
/// promises beyond that it checks by `precondition`.
private let targets: [String: @Sendable ([UInt8]) -> Void] = [
  "frame": fuzzFrame,
  "capturefile": fuzzCaptureFile,
  "configuration": fuzzConfiguration,
  "ignore-file": fuzzIgnoreFile,
  "defaults-file": fuzzDefaultsFile,
  "blocked-file": fuzzBlockedFile,
  "block-file": fuzzBlockFile,
  "control-message": fuzzControlMessage,
  "netlink": fuzzNetlink,
  "hosts-deny": fuzzHostsDeny,
  "offenders": fuzzOffenders,
  "grounds": fuzzGrounds,
  "server-files": fuzzServerFiles,
  "replay": fuzzReplay,
  "memory": fuzzMemory,
  "http-request": fuzzHTTPRequest,
  "geo-database": fuzzGeoDatabase,
  "fleet-records": fuzzFleetRecords,
  "fleet-ledger": fuzzFleetLedger,
  "engine-reply": fuzzEngineReply,
  "crowdsec-decisions": fuzzCrowdSecDecisions,
  "enforcer-message": fuzzEnforcerMessage,
]

private let target: @Sendable ([UInt8]) -> Void = {
  let name = unsafe getenv("FUZZ_TARGET").map { unsafe String(cString: $0) } ?? ""
  guard let target = targets[name] else {
    print("FUZZ_TARGET must be one of: \(targets.keys.sorted().joined(separator: " "))")
    exit(2)
  }
  return target
}()

/// libFuzzer's door.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  target(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
  return 0
}
