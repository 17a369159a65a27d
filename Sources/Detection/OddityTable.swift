import Memory
import Wire

/// Sources whose packets accuse nobody, counted so that they can be told: victims of floods that bear our address, reflectors,
/// and senders of packets that no host takes.
///
/// 16,384 sources, four places for each hash; the one with the fewest packets makes room.
struct OddityTable: ~Copyable {
  struct Kinds: OptionSet, BitwiseCopyable {
    var rawValue: UInt8 = 0
    /// SYN/ACK, RST or ICMP errors that answer nothing of ours.
    static let synAck = Kinds(rawValue: 1)
    static let reset = Kinds(rawValue: 2)
    static let icmpError = Kinds(rawValue: 4)
    /// UDP answers from ports that are abused for reflection.
    static let udpAnswer = Kinds(rawValue: 8)
    static let wrongChecksum = Kinds(rawValue: 16)

    static let backscatter: Kinds = [.synAck, .reset, .icmpError]
  }

  struct Record: BitwiseCopyable {
    var source = IPAddress.unspecified
    var first = Timestamp.distantPast
    var last = Timestamp.distantPast
    var count: UInt32 = 0
    var portSketch: UInt32 = 0
    /// The source port of the first packet: the service that was flooded or abused.
    var service: UInt16 = 0
    var kinds = Kinds()
    var isTold = false
  }

  private static let ways = 4
  private static let bucketCount = 4096
  private var records: Slab<Record>
  private let hash: KeyedHash
  private(set) var evictions: UInt64 = 0

  init(key: (UInt64, UInt64)) {
    records = Slab(count: Self.bucketCount * Self.ways)
    hash = KeyedHash(key: key)
  }

  /// Counts one packet, and returns the record when it has become worth telling.
  mutating func count(_ kind: Kinds, _ packet: Packet) -> Record? {
    let start = (Int(truncatingIfNeeded: hash(packet.source, 7)) & (Self.bucketCount - 1)) &* Self.ways
    var place = start
    for index in start..<start &+ Self.ways {
      if records[index].count > 0, records[index].source == packet.source {
        place = index
        break
      }
      if records[index].count < records[place].count { place = index }
    }
    if records[place].source != packet.source || records[place].count == 0 {
      if records[place].count > 0 { evictions &+= 1 }
      records[place] = Record()
      records[place].source = packet.source
      records[place].first = packet.time
      records[place].service = packet.sourcePort
    }
    records[place].count &+= records[place].count == .max ? 0 : 1
    records[place].last = packet.time
    records[place].kinds.insert(kind)
    records[place].portSketch |= 1 << (SourceRecord.mix(UInt32(packet.targetPort)) >> 27)
    guard records[place].count >= 3, !records[place].isTold else { return nil }
    records[place].isTold = true
    return records[place]
  }

  func forEach(_ body: (Record) -> Void) {
    for index in 0..<Self.bucketCount * Self.ways where records[index].count > 0 { body(records[index]) }
  }
}
