import CLinux
import Platform

/// The decoy's listeners, seen from the main thread: it adds to them while the decoy's thread accepts.
struct DecoyGroup: Sendable {
  /// One family's.
  struct Door: Sendable {
    let family: Int32
    let port: UInt16
    let members: Int
  }

  /// The decoy's thread's, as long as that runs.
  private let epoll: Int32
  private let doors: [Door]
  /// All, for the programs that hang on them.
  private(set) var listeners: [Int32]
  private var added: [Int32] = []

  init(epoll: Int32, doors: [Door], listeners: [Int32]) {
    self.epoll = epoll
    self.doors = doors
    self.listeners = listeners
  }

  /// Whether there are as many as there may be.
  private(set) var isLong = false

  /// Adds listeners, until each family has `members`. Afterwards the new ones alone are asked, since those of before may be full.
  ///
  /// - Parameter prepare: what is to be done to the new ones before anything comes to them.
  mutating func lengthen(to members: Int, _ prepare: ([Int32]) throws(Errno) -> Void) throws(Errno) {
    isLong = true
    for door in doors where door.members < members {
      var fresh: [Int32] = []
      defer {
        added += fresh
        listeners += fresh
      }
      while door.members + fresh.count < members {
        let listener = try Decoy.listener(door.family, port: door.port)
        try Decoy.watch(epoll, listener.raw, EPOLLIN.rawValue, isListener: true)
        fresh.append(listener.release())
      }
      try prepare(fresh)
      try FileDescriptor.attachChoice(DecoyQueue.dealOut(among: fresh.count, from: door.members), to: fresh[0])
    }
  }

  /// Closes what was added; the rest is the decoy's.
  mutating func close() {
    for fd in added { _ = CLinux.close(fd) }
    added = []
  }
}
