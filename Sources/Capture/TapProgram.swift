import CLinux
import Platform

/// The program at one side of an interface with an Ethernet header: it looks at each packet, and writes those that the filter wants into a
/// ring. It changes nothing, and lets everything go on.
///
/// Segments of connections are told by a few bytes at fixed places, before anything else is asked. Then comes the filter, four times: for both
/// families, and for both ways in which it can read (`FilterTranslation`).
enum TapProgram {
  /// What the kernel says of a packet, before its bytes.
  enum Record {
    /// With the kernel's own eight bytes a power of two.
    static let size = 248
    /// Where things are: CLOCK_MONOTONIC, 64 bits; the others have 32.
    static let time = 0
    static let interface = 8
    /// Of the packet from its IP header on, and how much of it is here.
    static let length = 12
    static let captured = 16
    /// `outgoing`, `vouched`.
    static let flags = 20
    static let packet = 24
    static let outgoing: UInt32 = 1
    /// The transport checksum is right by the device's word.
    static let vouched: UInt32 = 2
  }

  /// More instructions than this a jump may not reach across.
  private static let most = 32_000

  /// The bytes of a frame that direct reading needs: Ethernet and IP header and 16 more.
  static func linear(isV4: Bool) -> Int32 { isV4 ? 50 : 70 }

  /// - Parameters:
  ///   - ring: descriptor of a ring for records of `Record.size`.
  ///   - lost: descriptor of a map with one number, which counts what finds the ring full; nil: nobody counts it.
  ///   - limit: as in `KernelFilter.program`.
  /// - Returns: nil where the filter cannot be translated, or is too long.
  static func make(
    _ filter: KernelFilter, isOutgoing: Bool, ring: Int32, lost: Int32?, ranges limit: Int = 80
  ) -> BPFProgram? {
    var code = BPFProgram()
    let accept = code.label()
    let drop = code.label()
    let v6 = code.label()
    var isWhole = true
    var accepts = false
    code.move(.r6, .r1)
    // struct __sk_buff: data at 76, data_end at 80, protocol, in the network's order, at 16.
    code.load(.word, .r9, .r6, 76)
    code.load(.word, .r1, .r6, 80)
    code.load(.word, .r3, .r6, 16)
    code.jumpWord(.equal, .r3, UInt32(UInt16(ETH_P_IPV6).bigEndian), to: v6)
    code.jumpWord(.unequal, .r3, UInt32(UInt16(ETH_P_IP).bigEndian), to: drop)
    for isV4 in [true, false] {
      let copy = code.label()
      let filter = filter.part(isV4: isV4, isOutgoing: isOutgoing, ranges: limit)
      if FilterTranslation.acceptsSomething(filter) { accepts = true }
      if !isV4 { code.place(v6) }
      code.move(.r2, .r9)
      code.add(.r2, linear(isV4: isV4))
      code.jump(.above, .r2, .r1, to: copy)
      if isV4 {
        code.load(.byte, .r3, .r9, FilterTranslation.link)
        code.jumpWord(.unequal, .r3, 0x45, to: copy)
      }
      dropConnections(&code, isV4: isV4, isOutgoing: isOutgoing, drop: drop)
      code.word(.move, .r8, isV4 ? 20 : 40)
      func append(_ reading: FilterTranslation.Reading) {
        let translation = FilterTranslation(
          classic: filter, isV4: isV4, reading: reading, accept: accept, drop: drop)
        if !translation.append(to: &code) { isWhole = false }
      }
      append(.direct)
      code.place(copy)
      copyHeaders(&code, isV4: isV4, drop: drop)
      append(.copy)
    }
    if accepts {
      code.place(accept)
      write(&code, isOutgoing: isOutgoing, ring: ring, lost: lost, drop: drop)
    }
    code.place(drop)
    end(&code)
    return isWhole && code.count <= most ? code : nil
  }

  /// The next program, or whatever comes after programs (TCX_NEXT).
  private static func end(_ code: inout BPFProgram) {
    code.move(.r0, -1)
    code.exit()
  }

  /// Is done with what the filter never wants: of incoming segments those with ACK and without SYN, FIN and RST, unless they have neither data
  /// nor options; of outgoing ones all without SYN and RST.
  private static func dropConnections(_ code: inout BPFProgram, isV4: Bool, isOutgoing: Bool, drop: BPFLabel) {
    let others = code.label()
    let ip = FilterTranslation.link
    let tcp = ip + (isV4 ? 20 : 40)
    code.load(.byte, .r3, .r9, ip + (isV4 ? 9 : 6))
    code.jumpWord(.unequal, .r3, UInt32(IPPROTO_TCP), to: others)
    if isV4 {
      code.load(.half, .r3, .r9, ip + 6)
      code.jumpWord(.set, .r3, UInt32(UInt16(0x3fff).bigEndian), to: others)
    }
    code.load(.byte, .r3, .r9, tcp + 13)
    if isOutgoing {
      code.word(.and, .r3, 0x06)
      code.jumpWord(.equal, .r3, 0, to: drop)
    } else {
      code.word(.and, .r3, 0x17)
      code.jumpWord(.unequal, .r3, 0x10, to: others)
      code.load(.byte, .r3, .r9, tcp + 12)
      code.word(.and, .r3, 0xf0)
      code.jumpWord(.unequal, .r3, 0x50, to: drop)
      code.load(.half, .r3, .r9, ip + (isV4 ? 2 : 4))
      code.jumpWord(.unequal, .r3, UInt32(UInt16(isV4 ? 40 : 20).bigEndian), to: drop)
    }
    code.place(others)
  }

  /// Copies the IP header and what follows it to the stack. A packet that is shorter than its IP header is not wanted; of a transport header that
  /// is cut only what is there can be asked for.
  private static func copyHeaders(_ code: inout BPFProgram, isV4: Bool, drop: BPFLabel) {
    let network = FilterTranslation.network
    let header: UInt32 = isV4 ? 20 : 40
    func copy(at place: Int16, _ length: UInt32) {
      code.move(.r1, .r6)
      code.move(.r3, .stack)
      code.add(.r3, Int32(place))
      code.word(.move, .r4, length)
      code.call(.loadPacketBytes)
    }
    code.word(.move, .r2, UInt32(FilterTranslation.link))
    copy(at: network, header)
    code.jump(.unequal, .r0, 0, to: drop)
    if isV4 {
      code.load(.byte, .r8, .stack, network)
      code.word(.and, .r8, 15)
      code.word(.shiftLeft, .r8, 2)
    } else {
      code.word(.move, .r8, header)
    }
    let ready = code.label()
    for length: UInt32 in [16, 8] {
      code.word(.move, .r2, .r8)
      code.word(.add, .r2, UInt32(FilterTranslation.link))
      copy(at: FilterTranslation.transport, length)
      code.word(.move, .r9, length)
      code.jump(.equal, .r0, 0, to: ready)
    }
    code.word(.move, .r9, 0)
    code.place(ready)
  }

  /// Writes a record; r7 is how much of the packet is wanted.
  private static func write(_ code: inout BPFProgram, isOutgoing: Bool, ring: Int32, lost: Int32?, drop: BPFLabel) {
    let isAll = code.label()
    let isFull = code.label()
    let discard = code.label()
    let unknown = code.label()
    // struct __sk_buff: len at 0, ifindex at 40.
    code.load(.word, .r8, .r6, 0)
    code.word(.subtract, .r8, UInt32(FilterTranslation.link))
    code.jumpWord(.belowOrEqual, .r7, .r8, to: isAll)
    code.word(.move, .r7, .r8)
    code.place(isAll)
    code.jumpWord(.below, .r7, 1, to: drop)
    code.jumpWord(.above, .r7, UInt32(Record.size - Record.packet), to: drop)
    code.loadMap(.r1, ring)
    code.move(.r2, Int32(Record.size))
    code.move(.r3, 0)
    code.call(.ringReserve)
    code.jump(.equal, .r0, 0, to: isFull)
    code.move(.r9, .r0)
    code.call(.time)
    code.store(.double, .r9, Int16(Record.time), .r0)
    code.load(.word, .r1, .r6, 40)
    code.store(.word, .r9, Int16(Record.interface), .r1)
    code.store(.word, .r9, Int16(Record.length), .r8)
    code.store(.word, .r9, Int16(Record.captured), .r7)
    code.move(.r1, .r6)
    // BPF_CSUM_LEVEL_QUERY: how many checksums the device has looked at, or an error.
    code.move(.r2, 0)
    code.call(.checksumLevel)
    let direction = isOutgoing ? Record.outgoing : 0
    code.word(.move, .r1, direction)
    code.jump(.above, .r0, 3, to: unknown)
    code.word(.move, .r1, direction | Record.vouched)
    code.place(unknown)
    code.store(.word, .r9, Int16(Record.flags), .r1)
    code.move(.r1, .r6)
    code.word(.move, .r2, UInt32(FilterTranslation.link))
    code.move(.r3, .r9)
    code.add(.r3, Int32(Record.packet))
    code.word(.move, .r4, .r7)
    code.call(.loadPacketBytes)
    code.jump(.unequal, .r0, 0, to: discard)
    code.move(.r1, .r9)
    code.move(.r2, 0)
    code.call(.ringSubmit)
    end(&code)
    code.place(discard)
    code.move(.r1, .r9)
    code.move(.r2, 0)
    code.call(.ringDiscard)
    end(&code)
    code.place(isFull)
    if let lost {
      code.loadValue(.r1, lost)
      code.move(.r2, 1)
      code.addAtomically(.r1, .r2)
    }
    end(&code)
  }
}
