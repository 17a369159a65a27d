import Memory
import Wire

/// Who asked for a port beside a service of this host, and is answered by that service a moment later: for whoever judges each
/// touch by itself (the classic rule).
///
/// Remembers `places` sources by a hash, each for some seconds; a newer one takes the place, and the older is not told of. At most
/// 256 wait to be taken; of more nothing is told. Whoever is left out is judged as if it used no service.
struct SetupNews: ~Copyable {
  struct Asker: BitwiseCopyable {
    var source = IPAddress.unspecified
    var families: ServiceFamilies = []
    var seconds: Int64 = 0
  }

  private static let places = 1_024
  private static let capacity = 256
  /// Longer than anybody waits for it.
  private static let lifetime: Int64 = 5
  private var askers = Slab<Asker>(count: SetupNews.places)
  private var newest = Int64.min / 2
  private let hash: KeyedHash
  private(set) var answered: [(source: IPAddress, families: ServiceFamilies)] = []

  init(key: (UInt64, UInt64)) {
    hash = KeyedHash(key: key)
    answered.reserveCapacity(Self.capacity)
  }

  private func place(_ source: IPAddress) -> Int { Int(truncatingIfNeeded: hash(source, 0)) & (Self.places - 1) }

  mutating func note(_ source: IPAddress, _ families: ServiceFamilies, at time: Timestamp) {
    newest = time.seconds
    let place = place(source)
    let isOld = askers[place].source != source || newest - askers[place].seconds > Self.lifetime
    let before = isOld ? [] : askers[place].families
    askers[place] = Asker(source: source, families: before.union(families), seconds: newest)
  }

  /// A service answers a source.
  @inline(__always)
  mutating func noteAnswer(_ source: IPAddress, port: UInt16, at time: Timestamp) {
    guard time.seconds &- newest <= Self.lifetime else { return }
    tell(source, port, time)
  }

  private mutating func tell(_ source: IPAddress, _ port: UInt16, _ time: Timestamp) {
    guard let family = ServiceFamily.of(port)?.bit else { return }
    let asker = askers[place(source)]
    guard asker.source == source, asker.families.contains(family), time.seconds &- asker.seconds <= Self.lifetime,
      answered.count < Self.capacity
    else { return }
    answered.append((source, family))
  }

  mutating func removeAll() { answered.removeAll(keepingCapacity: true) }
}
