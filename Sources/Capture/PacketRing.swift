import CLinux
import Platform
import Wire

/// An `AF_PACKET` socket on all interfaces with a ring of frames mapped into our memory (`packet(7)`, TPACKET_V2).
///
/// Version 2 and not 3: version 3 hands over whole blocks and wakes us when one is full or a timer of some
/// milliseconds ends; here the trigger packet itself wakes us.
@safe
package struct PacketRing: ~Copyable {
  /// What the kernel says of a frame besides its bytes.
  package struct Frame: Sendable {
    package let time: Timestamp
    package let interface: Int32
    package let isOutgoing: Bool
    /// The transport checksum is right by the device's word, or is still to be filled in by it.
    package let checksumVouched: Bool
    /// Whether it can be a packet whose checksum is still to be filled in, and the kernel does not say so.
    package let mayBeUnfinished: Bool
    /// The filter wanted less than there was: of a SYN/ACK that it is a decoy's (`KernelFilter.decoyMark`).
    package let isCut: Bool

    /// Frames of two cores may be stamped a little out of order; time never runs back for the detector. A clock that
    /// was set back by more than that is believed.
    func inOrder(after last: inout Timestamp) -> Frame {
      let isLate = time < last && last.nanoseconds - time.nanoseconds < 1_000_000_000
      if !isLate { last = time }
      return Frame(
        time: last, interface: interface, isOutgoing: isOutgoing, checksumVouched: checksumVouched,
        mayBeUnfinished: mayBeUnfinished, isCut: isCut)
    }
  }

  package struct Statistics: Sendable, Equatable {
    /// Packets that passed the filter.
    package var received: UInt64 = 0
    /// Those of them that found the ring full and are lost.
    package var dropped: UInt64 = 0

    mutating func add(_ other: Statistics) {
      received &+= other.received
      dropped &+= other.dropped
    }
  }

  /// Room for the kernel's header (80 bytes) and `KernelFilter.snapLength` of packet.
  private static let frameSize = 256
  private let socket: FileDescriptor
  // The mapping lives as long as the ring and is unmapped with it; nothing else holds the pointer.
  private let base: UnsafeMutableRawPointer
  private let frames: Int
  private var position = 0
  /// As of the last `updateStatistics`.
  package private(set) var statistics = Statistics()

  /// Maps a ring; nothing is received before `start`.
  ///
  /// - Parameter frames: how many packets it holds while we are busy; a power of two, 256 bytes each.
  package init(frames: Int = 32_768) throws(Errno) {
    self.frames = frames
    let socket = try FileDescriptor.socket(AF_PACKET, CLinux_SOCK_DGRAM, 0)
    let map: UnsafeMutableRawPointer
    do {
      try socket.setOption(SOL_PACKET, PACKET_VERSION, Int32(TPACKET_V2.rawValue))
      let blockSize = 1 << 16
      var request = tpacket_req()
      request.tp_block_size = UInt32(blockSize)
      request.tp_block_nr = UInt32(frames * Self.frameSize / blockSize)
      request.tp_frame_size = UInt32(Self.frameSize)
      request.tp_frame_nr = UInt32(frames)
      try check("setsockopt", "PACKET_RX_RING") {
        unsafe setsockopt(socket.raw, SOL_PACKET, PACKET_RX_RING, &request, socklen_t(MemoryLayout<tpacket_req>.size))
      }
      let mapped = unsafe mmap(nil, frames * Self.frameSize, PROT_READ | PROT_WRITE, MAP_SHARED, socket.raw, 0)
      guard let address = unsafe mapped, Int(bitPattern: address) != -1 else { throw Errno.last("mmap", "packet ring") }
      unsafe map = unsafe address
    }
    unsafe base = unsafe map
    self.socket = socket
  }

  deinit { unsafe munmap(base, frames * Self.frameSize) }

  /// Readable when a packet is there.
  package var descriptor: Int32 { socket.raw }

  /// Replaces the kernel filter; packets already in the ring stay.
  package func attach(_ filter: KernelFilter) throws(Errno) {
    do throws(Errno) {
      try socket.attach(filter.program())
    } catch {
      // Older kernels charge filters to a small budget (net.core.optmem_max).
      guard error.code == ENOMEM || error.code == EINVAL else { throw error }
      try socket.attach(filter.program(ranges: 16))
    }
  }

  /// Begins to receive.
  ///
  /// - Parameter interface: its index; 0 for every one, present and future. May be changed later.
  package func start(on interface: Int32 = 0) throws(Errno) {
    var address = sockaddr_ll()
    address.sll_family = UInt16(AF_PACKET)
    address.sll_ifindex = interface
    address.sll_protocol = UInt16(ETH_P_ALL).bigEndian
    try check("bind", "packet socket") {
      unsafe CLinux_bind(socket.raw, &address, socklen_t(MemoryLayout<sockaddr_ll>.size))
    }
  }

  /// Lends the next packet, from its IP header on, and gives its frame back to the kernel afterwards.
  ///
  /// - Returns: false when the ring is empty.
  package mutating func next(_ body: (RawSpan, Frame) -> Void) -> Bool {
    let start = unsafe base + position * Self.frameSize
    let status = unsafe CLinux_load_acquire_u32(start)
    guard status & UInt32(TP_STATUS_USER) != 0 else { return false }
    let header = unsafe start.load(as: tpacket2_hdr.self)
    let link = unsafe (start + 32).load(as: sockaddr_ll.self)
    let frame = Frame(
      time: Timestamp(seconds: Int64(header.tp_sec), nanoseconds: Int64(header.tp_nsec)), interface: link.sll_ifindex,
      isOutgoing: link.sll_pkttype == UInt8(PACKET_OUTGOING),
      checksumVouched: status & UInt32(TP_STATUS_CSUMNOTREADY | TP_STATUS_CSUM_VALID) != 0,
      mayBeUnfinished: false,
      isCut: header.tp_snaplen < header.tp_len)
    let offset = Int(header.tp_net)
    let length = min(Int(header.tp_snaplen), max(Self.frameSize - offset, 0))
    body(unsafe RawSpan(_unsafeStart: UnsafeRawPointer(start + offset), byteCount: length), frame)
    unsafe CLinux_store_release_u32(start, UInt32(TP_STATUS_KERNEL))
    position = (position + 1) & (frames - 1)
    return true
  }

  /// Reads the kernel's counters, which it resets, into `statistics`.
  package mutating func updateStatistics() {
    var counters = tpacket_stats()
    var size = socklen_t(MemoryLayout<tpacket_stats>.size)
    guard unsafe getsockopt(socket.raw, SOL_PACKET, PACKET_STATISTICS, &counters, &size) == 0 else { return }
    statistics.received += UInt64(counters.tp_packets)
    statistics.dropped += UInt64(counters.tp_drops)
  }
}
