import Detection
import EventLog
import Journal
import Platform
import Wire

/// What the other threads have to say.
extension Sentry {
  /// Says what the sensor has to say.
  ///
  /// - Returns: ports that could not be opened.
  func takeNotices() -> [Endpoint] {
    var failed: [Endpoint] = []
    for notice in link.takeNotices() {
      switch notice {
      case .interfaceMissing(let name):
        say("interface \(name) does not exist: nothing is seen on it until it appears", isError: true)
      case .interfaceWatched(let name): say("interface \(name) has appeared and is watched")
      case .nothingToWatch:
        say("no interface to watch is up: NOTHING IS SEEN until one is", isError: true)
        keep(.blind(at: Clock.now))
      case .watchingAgain:
        say("an interface is up: watching")
        keep(.seeing(at: Clock.now))
      case .ringOverflow(let count):
        say(
          "\(count) packets were lost in the kernel, because they came faster than they could be looked at",
          isError: true)
        keep(.lost(.ring, count: count, at: Clock.now))
      case .sampling(let shift):
        say(
          shift > 0
            ? "so many packets touch services that only some of their sources are looked at; touches of other ports are all seen"
            : "all sources that touch services are looked at again")
      case .listenerFailed(let transport, let port, let error):
        failed.append(Endpoint(transport, .unspecified, port))
        say(.couldNotBind(transport, port: port, in: dialect))
        if options.level < .notice { say("\(error)") }
      case .trouble(let error, let consequence): say("\(error): \(consequence)", isError: true)
      }
    }
    return failed
  }

  /// Says what the keeping of events has to say.
  func takeNotices(of recorder: Recorder) {
    for notice in recorder.takeNotices() {
      switch notice {
      case .journalFailed(let error):
        say("\(error): nothing more is kept in the journal until that is mended; all else goes on", isError: true)
      case .journalRecovered(let lost):
        say("the journal is written again; \(lost == 0 ? "nothing was" : "\(lost) records were") lost")
      case .journalReplaced(let kept):
        let place = kept.map { "it is kept as \($0)" } ?? "it could not be moved"
        say("the journal was damaged: \(place), and a new one is begun", isError: true)
      case .fileChanged(let path, let change): say(.eventFile(path, change, in: dialect))
      case .metricsFailed(let path, let error?):
        say("cannot write \(path): \(error.reason); metrics are old", isError: true)
      case .metricsFailed(let path, nil): say("\(path) is written again")
      }
    }
  }
}
