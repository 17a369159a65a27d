import Detection
import GeoIP
import Journal
import Platform
import Wire

/// What a report tells: everything counted, nothing put into words or drawn yet.
package struct Summary: Sendable {
  package var window: Window
  package var now: Timestamp
  package var zone: Zone
  /// Of the host that saw all this.
  package var host: String
  package var version: String
  /// From when on there is anything in the window.
  package var since: Timestamp?

  package var probes: UInt64 = 0
  package var ignored: UInt64 = 0
  /// Distinct ones that are still known.
  package var sources = 0
  package var newcomers: UInt64 = 0
  package var days: [Day] = []
  /// Distinct sources by hour of the day here, 0 to 23: on a day in the mean. Sources, because one scanner in a hurry would
  /// outweigh all others by its probes.
  package var hoursOfDay = [Double](repeating: 0, count: 24)
  /// When the columns of `Port.overTime` begin; the last one ends with the window.
  package var columns: [Timestamp] = []
  /// How many hours a column is.
  package var columnHours: Int64 = 1
  package var ports: [Port] = []
  package var portCount = 0
  /// Ports that are much more asked for than before, in the last seven days.
  package var rising: [Rise] = []
  /// How many probes and sources came on a day of the last seven, and on a day before them.
  package var pace: (recent: Double, before: Double)?

  package var techniques: [(technique: Technique, probes: UInt64)] = []
  package var tools: [ToolLine] = []
  package var scans: [Verdict.Class: Int] = [:]
  package var kinds: [(kind: ScanKind, count: Int)] = []
  package var origins: [(origin: Origin, sources: Int)] = []
  package var reach: [(reach: Reach, sources: Int, probes: UInt64)] = []
  package var top: [SourceLine] = []
  package var networks: [NetworkLine] = []
  package var countries: [Country] = []
  package var systems: [System] = []
  package var places: [IPAddress: Place] = [:]

  package var longest: [Scan] = []
  package var slowest: [Scan] = []
  package var broadest: [Scan] = []

  package var victims: [Scan] = []
  package var victimCount = 0
  package var victimsByDay: [Int64: Int] = [:]
  package var victimPorts: [(port: PortName, victims: Int)] = []

  package var blocks = Blocks()
  package var sight = Sight()
  package var losses: [(kind: Event.Loss, count: UInt64)] = []

  package init(window: Window, now: Timestamp, zone: Zone, host: String, version: String) {
    self.window = window
    self.now = now
    self.zone = zone
    self.host = host
    self.version = version
  }

  /// A day here.
  package struct Day: Sendable, Equatable {
    /// Since 1970, in the zone of the report.
    package var day: Int64
    package var start: Timestamp
    package var probes: UInt64 = 0
    package var newcomers: UInt64 = 0
    package var scans = 0
    package var blocks = 0
    /// How much of the day was watched, 0 to 1; of the day under way, of what is over.
    package var watched = 1.0
    /// Whether all of it lies in the window and is over.
    package var isWhole = true
  }

  package struct Port: Sendable, Equatable {
    package var line: PortLine
    package var byDay: [UInt64]
    /// By the columns of the heat map.
    package var overTime: [UInt64]
  }

  package struct Rise: Sendable, Equatable {
    package var port: PortName
    /// In the last seven days, and what seven days brought before them.
    package var recent: UInt64
    package var before: Double
    package var byDay: [UInt64]
    package var isNew: Bool { before < 0.5 }
  }

  /// What a source's behaviour says of its aim.
  package enum Reach: Sendable, CaseIterable {
    /// Up to three ports: whoever looks for one hole everywhere.
    case passing
    /// Many ports, with a tool made for the whole Internet, or evenly over weeks.
    case mapping
    /// Some ports.
    case closer
    /// Many ports of this host in a short time.
    case aimed
  }

  package struct Country: Sendable, Equatable {
    package var code: String
    package var name: String
    package var sources: Int
    package var probes: UInt64
  }

  package struct System: Sendable, Equatable {
    package var number: UInt32
    package var name: String
    package var sources: Int
    package var probes: UInt64
  }

  package struct Blocks: Sendable {
    package var made = 0
    package var inForce = 0
    package var ended = 0
    /// Went on while shut out.
    package var wentOn = 0
    /// Came again after the end, of those that ended.
    package var cameBack = 0
    package var repeated = 0
    package var newest: [PastBlock] = []
    /// Those that rest on what hosts of the fleet saw, and the newest of them.
    package var fleet = 0
    package var fleetNewest: [PastBlock] = []
    /// On how many of them each host's word is, the host with the most first.
    package var byHost: [(host: String, blocks: Int)] = []
  }

  /// When something could be seen.
  package struct Sight: Sendable {
    package enum State: Sendable { case watched, blind, off }

    package struct Span: Sendable, Equatable {
      package var state: State
      package var start: Timestamp
      package var end: Timestamp
    }

    /// In order, without gaps, from the first start that is known to now.
    package var spans: [Span] = []

    package func time(_ state: State) -> Duration {
      spans.filter { $0.state == state }.reduce(.zero) { $0 + ($1.end - $1.start) }
    }

    /// 0 to 1; nil when nothing is known.
    package var share: Double? {
      let all = spans.reduce(Duration.zero) { $0 + ($1.end - $1.start) }
      return all > .zero ? Double(time(.watched).wholeNanoseconds) / Double(all.wholeNanoseconds) : nil
    }
  }
}
