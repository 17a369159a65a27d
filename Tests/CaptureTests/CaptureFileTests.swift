import CZlib
import Capture
import Foundation
import TestSupport
import Testing
import Wire

/// Capture files made byte by byte.
@Suite struct CaptureFileTests {
  // MARK: Making files

  /// Numbers of one byte order.
  struct Writer {
    var isLittle: Bool
    var bytes: [UInt8] = []

    mutating func u16(_ value: UInt16) {
      bytes += isLittle ? [UInt8(value & 255), UInt8(value >> 8)] : [UInt8(value >> 8), UInt8(value & 255)]
    }
    mutating func u32(_ value: UInt32) {
      let high = UInt16(value >> 16)
      let low = UInt16(value & 0xffff)
      if isLittle {
        u16(low)
        u16(high)
      } else {
        u16(high)
        u16(low)
      }
    }
    /// A pcapng block with `body`, padded, and its two lengths.
    mutating func block(_ type: UInt32, _ body: [UInt8], length: UInt32? = nil, trailing: UInt32? = nil) {
      let padded = body + [UInt8](repeating: 0, count: (4 - body.count % 4) % 4)
      u32(type)
      u32(length ?? UInt32(padded.count + 12))
      bytes += padded
      u32(trailing ?? length ?? UInt32(padded.count + 12))
    }
    func of(_ fill: (inout Writer) -> Void) -> [UInt8] {
      var writer = Writer(isLittle: isLittle)
      fill(&writer)
      return writer.bytes
    }
    mutating func section() {
      block(
        0x0a0d_0d0a,
        of {
          $0.u32(0x1a2b_3c4d)
          $0.u16(1)
          $0.u16(0)
          $0.u32(.max)
          $0.u32(.max)
        })
    }
    mutating func interface(_ link: UInt16, snap: UInt32 = 0, options: [UInt8] = []) {
      block(
        1,
        of {
          $0.u16(link)
          $0.u16(0)
          $0.u32(snap)
          $0.bytes += options
        })
    }
    func option(_ code: UInt16, _ value: [UInt8]) -> [UInt8] {
      of {
        $0.u16(code)
        $0.u16(UInt16(value.count))
        $0.bytes += value + [UInt8](repeating: 0, count: (4 - value.count % 4) % 4)
      }
    }
    mutating func packet(
      _ interface: UInt32, _ time: UInt64, _ data: [UInt8], captured: UInt32? = nil, original: UInt32 = 99,
      options: [UInt8] = []
    ) {
      block(
        6,
        of {
          $0.u32(interface)
          $0.u32(UInt32(time >> 32))
          $0.u32(UInt32(truncatingIfNeeded: time))
          $0.u32(captured ?? UInt32(data.count))
          $0.u32(original)
          $0.bytes += data + [UInt8](repeating: 0, count: (4 - data.count % 4) % 4) + options
        })
    }
  }

  struct Read: Equatable {
    var data: [UInt8]
    var frame: FrameRecord
  }

  /// Everything that is in a capture, and what was wrong with it.
  static func read(_ bytes: [UInt8]) throws -> (frames: [Read], damage: [CaptureFile.Damage: UInt64]) {
    var file = try CaptureFile(bytes: bytes)
    return drain(&file)
  }

  static func drain(_ file: inout CaptureFile) -> (frames: [Read], damage: [CaptureFile.Damage: UInt64]) {
    var frames: [Read] = []
    while file.next({ bytes, frame in
      frames.append(Read(data: (0..<bytes.byteCount).map { bytes.unsafeByte($0) }, frame: frame))
    }) {}
    var damage: [CaptureFile.Damage: UInt64] = [:]
    for kind in CaptureFile.Damage.allCases where file.count(kind) > 0 { damage[kind] = file.count(kind) }
    return (frames, damage)
  }

  static func pcap(
    little: Bool, magic: UInt32 = 0xa1b2_c3d4, link: UInt32 = 1, minor: UInt16 = 4, _ fill: (inout Writer) -> Void
  ) -> [UInt8] {
    var writer = Writer(isLittle: little)
    writer.u32(magic)
    writer.u16(2)
    writer.u16(minor)
    writer.u32(0)
    writer.u32(0)
    writer.u32(65535)
    writer.u32(link)
    fill(&writer)
    return writer.bytes
  }

  static func record(
    _ writer: inout Writer, _ seconds: UInt32, _ fraction: UInt32, _ data: [UInt8], captured: UInt32? = nil,
    extra: [UInt8] = []
  ) {
    writer.u32(seconds)
    writer.u32(fraction)
    writer.u32(captured ?? UInt32(data.count))
    writer.u32(77)
    writer.bytes += extra + data
  }

  /// A pcapng file with something of everything.
  static func odd(little: Bool) -> [UInt8] {
    var w = Writer(isLittle: little)
    w.section()
    w.interface(1, options: w.option(2, Array("eth0".utf8)) + w.option(9, [9]) + w.option(0, []))
    w.interface(
      101, snap: 2,
      options: w.option(9, [0x80 | 10])
        + w.option(14, w.of { $0.bytes += little ? [100, 0, 0, 0, 0, 0, 0, 0] : [0, 0, 0, 0, 0, 0, 0, 100] }))
    w.block(0x0bad, [1, 2, 3])
    w.packet(0, 1_700_000_000_123_456_789, [1, 2, 3], options: w.option(2, w.of { $0.u32(2) }))
    w.packet(1, 5 << 10 | 512, [4])
    w.block(5, [UInt8](repeating: 7, count: 400))
    w.block(
      2,
      w.of {
        $0.u16(1)
        $0.u16(3)
        $0.u32(0)
        $0.u32(7 << 10)
        $0.u32(2)
        $0.u32(9)
        $0.bytes += [8, 9, 0, 0]
      })
    w.section()
    w.interface(113, snap: 2)
    w.block(
      3,
      w.of {
        $0.u32(60)
        $0.bytes += [5, 6, 0, 0]
      })
    return w.bytes
  }

  static func gzip(_ bytes: [UInt8], level: Int32 = 6) -> [UInt8] {
    var stream = unsafe z_stream()
    let size = unsafe Int32(MemoryLayout<z_stream>.size)
    let begun = unsafe deflateInit2_(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, zlibVersion(), size)
    #expect(begun == Z_OK)
    var input = bytes
    var output = [UInt8](repeating: 0, count: bytes.count + bytes.count / 100 + 200)
    unsafe input.withUnsafeMutableBufferPointer { source in
      unsafe output.withUnsafeMutableBufferPointer { target in
        unsafe stream.next_in = source.baseAddress
        unsafe stream.avail_in = UInt32(source.count)
        unsafe stream.next_out = target.baseAddress
        unsafe stream.avail_out = UInt32(target.count)
        let result = unsafe deflate(&stream, Z_FINISH)
        #expect(result == Z_STREAM_END)
      }
    }
    let count = unsafe Int(stream.total_out)
    unsafe deflateEnd(&stream)
    return Array(output[..<count])
  }

  // MARK: pcap

  @Test(arguments: [true, false]) func `pcap in microseconds, both byte orders`(_ little: Bool) throws {
    let (frames, damage) = try Self.read(
      Self.pcap(little: little) {
        Self.record(&$0, 1_700_000_000, 123_456, [1, 2, 3])
        Self.record(&$0, 1_700_000_001, 0, [])
      })
    #expect(damage == [:])
    #expect(frames.map(\.data) == [[1, 2, 3], []])
    #expect(
      frames.first?.frame
        == FrameRecord(
          time: Timestamp(nanoseconds: 1_700_000_000_123_456_000), linkType: 1, originalLength: 77))
  }

  @Test(arguments: [true, false]) func `pcap in nanoseconds, both byte orders`(_ little: Bool) throws {
    let (frames, _) = try Self.read(
      Self.pcap(little: little, magic: 0xa1b2_3c4d) { Self.record(&$0, 1, 999_999_999, [1]) })
    #expect(frames.map(\.frame.time.nanoseconds) == [1_999_999_999])
  }

  @Test(arguments: [true, false]) func `Modified pcap tells who sent a frame`(_ little: Bool) throws {
    let extra: [UInt8] = [0, 0, 0, 2, 8, 0]
    let (frames, damage) = try Self.read(
      Self.pcap(little: little, magic: 0xa1b2_cd34) {
        Self.record(&$0, 1, 0, [1, 2], extra: extra + [4, 0])
        Self.record(&$0, 1, 0, [3], extra: extra + [0, 0])
      })
    #expect(damage == [:])
    #expect(frames.map(\.data) == [[1, 2], [3]])
    #expect(frames.map(\.frame.direction) == [.outgoing, .incoming])
  }

  @Test func `The link type stands in 26 bits, the rest tells of checksums`() throws {
    let (frames, _) = try Self.read(Self.pcap(little: true, link: 0x3000_0071) { Self.record(&$0, 1, 0, [1]) })
    #expect(frames.map(\.frame.linkType) == [113])
  }

  @Test func `Before version 2.3 the two lengths were swapped`() throws {
    let (frames, _) = try Self.read(
      Self.pcap(little: true, minor: 2) {
        $0.u32(1)
        $0.u32(0)
        $0.u32(90)
        $0.u32(2)
        $0.bytes += [1, 2]
      })
    #expect(frames.map(\.data) == [[1, 2]])
    #expect(frames.map(\.frame.originalLength) == [90])
  }

  @Test func `A record that claims too much is skipped, and what comes after is read`() throws {
    let (frames, damage) = try Self.read(
      Self.pcap(little: true) {
        Self.record(&$0, 1, 0, [UInt8](repeating: 1, count: 300_000))
        Self.record(&$0, 2, 0, [2])
      })
    #expect(frames.map(\.data) == [[2]])
    #expect(damage == [.recordTooLong: 1])
  }

  @Test func `A record of four gigabytes ends the file, and takes no memory`() throws {
    let (frames, damage) = try Self.read(
      Self.pcap(little: true) {
        Self.record(&$0, 1, 0, [1])
        Self.record(&$0, 2, 0, [2, 3, 4], captured: .max)
      })
    #expect(frames.count == 1)
    #expect(damage == [.recordTooLong: 1, .truncated: 1])
  }

  @Test func `A thousand records across the edges of the window`() throws {
    let bytes = Self.pcap(little: true) {
      for index in 0..<1000 {
        Self.record(&$0, UInt32(index), 0, [UInt8](repeating: UInt8(index & 255), count: index * 7 % 3001))
      }
    }
    #expect(bytes.count > 1_300_000)
    let (frames, damage) = try Self.read(bytes)
    #expect(damage == [:])
    #expect(frames.count == 1000)
    for (index, read) in frames.enumerated() {
      #expect(read.data == [UInt8](repeating: UInt8(index & 255), count: index * 7 % 3001))
    }
    #expect(try Self.read(Self.gzip(bytes)).frames == frames)
  }

  // MARK: pcapng

  @Test(arguments: [true, false]) func `pcapng with odd blocks, sections and clocks`(_ little: Bool) throws {
    let (frames, damage) = try Self.read(Self.odd(little: little))
    #expect(damage == [:])
    #expect(frames.map(\.data) == [[1, 2, 3], [4], [8, 9], [5, 6]])
    #expect(frames.map(\.frame.linkType) == [1, 101, 101, 113])
    #expect(
      frames.map(\.frame.time.nanoseconds) == [
        1_700_000_000_123_456_789, 105_500_000_000, 107_000_000_000, 107_000_000_000,
      ])
    #expect(frames.map(\.frame.direction) == [.outgoing, .unknown, .unknown, .unknown])
    #expect(frames.map(\.frame.originalLength) == [99, 99, 9, 60])
  }

  @Test func `A section may change the byte order`() throws {
    let bytes = Self.odd(little: true) + Self.odd(little: false)
    #expect(try Self.read(bytes).frames.count == 8)
  }

  private static let broken: [(String, @Sendable (inout Writer) -> Void, [CaptureFile.Damage: UInt64], Int)] = [
    ("a block of length 0", { $0.block(5, [1], length: 0) }, [.badBlockLength: 1], 1),
    ("a block of length 8", { $0.block(5, [1], length: 8) }, [.badBlockLength: 1], 1),
    ("a block of an odd length", { $0.block(5, [1], length: 17) }, [.badBlockLength: 1], 1),
    ("an unknown block of 4 GiB", { $0.block(5, [1], length: 0xffff_fffc) }, [.truncated: 1], 1),
    (
      "a packet of 4 GiB", { $0.block(6, [1], length: 0xffff_fffc) }, [.recordTooLong: 1, .truncated: 1], 1
    ),
    ("two lengths that disagree", { $0.block(5, [1], trailing: 99) }, [:], 2),
    (
      "a packet whose lengths disagree", { $0.block(1, [0, 0, 0, 0, 0, 0, 0, 0], trailing: 99) }, [.lengthsDisagree: 1],
      2
    ),
    ("captured more than the block holds", { $0.packet(0, 1, [1], captured: 5) }, [.badBlock: 1], 2),
    ("captured 4 GiB", { $0.packet(0, 1, [1], captured: .max) }, [.badBlock: 1], 2),
    ("an interface nobody described", { $0.packet(7, 1, [1]) }, [.unknownInterface: 1], 2),
    ("a packet block without a packet", { $0.block(6, [1]) }, [.badBlock: 1], 2),
    ("an interface block without an interface", { $0.block(1, []) }, [.badBlock: 1], 2),
    ("a simple packet longer than its block", { $0.block(3, [0, 0, 1, 0, 9]) }, [.badBlock: 1], 2),
    ("an option that leaves its block", { $0.interface(1, options: [0, 9, 255, 255]) }, [:], 2),
    (
      "more interfaces than we keep", { for _ in 0..<5000 { $0.interface(1) } }, [.tooManyInterfaces: 905], 2
    ),
    (
      "a section without byte order", { $0.block(0x0a0d_0d0a, [1, 2, 3, 4]) }, [.badByteOrder: 1], 1
    ),
  ]

  @Test(arguments: broken.indices) func `What is wrong with pcapng is counted`(_ index: Int) throws {
    let (name, fill, expected, count) = Self.broken[index]
    var writer = Writer(isLittle: false)
    writer.section()
    writer.interface(1)
    writer.packet(0, 1, [1])
    fill(&writer)
    writer.packet(0, 2, [2])
    let (frames, damage) = try Self.read(writer.bytes)
    #expect(damage == expected, "\(name)")
    #expect(frames.count == count, "\(name)")
  }

  @Test func `Every resolution gives a time, and none traps`() throws {
    for resolution: UInt8 in 0...255 {
      for units: UInt64 in [0, 1, 1_700_000_000, .max / 2, .max] {
        for offset: [UInt8] in [
          [0, 0, 0, 0, 0, 0, 0, 1], [127] + .init(repeating: 255, count: 7), [128] + .init(repeating: 0, count: 7),
        ] {
          var w = Writer(isLittle: false)
          w.section()
          w.interface(1, options: w.option(9, [resolution]) + w.option(14, offset))
          w.packet(0, units, [1])
          #expect(try Self.read(w.bytes).frames.count == 1)
        }
      }
    }
  }

  // MARK: gzip

  @Test(arguments: [0, 1, 9] as [Int32]) func `gzip of both formats reads the same`(_ level: Int32) throws {
    let classic = Self.pcap(little: true) { for index: UInt8 in 0..<200 { Self.record(&$0, 5, 0, [index, 1, 2]) } }
    for plain in [classic, Self.odd(little: false)] {
      let (frames, damage) = try Self.read(Self.gzip(plain, level: level))
      #expect(damage == [:])
      #expect(frames == (try Self.read(plain).frames))
    }
  }

  @Test func `Several gzip members are one file`() throws {
    let plain = Self.odd(little: true)
    let bytes = Self.gzip(Array(plain[..<70])) + Self.gzip(Array(plain[70...]))
    #expect(try Self.read(bytes).frames == Self.read(plain).frames)
  }

  @Test func `Bytes after the last member are counted`() throws {
    let (frames, damage) = try Self.read(Self.gzip(Self.odd(little: true)) + [0, 0, 0])
    #expect(frames.count == 4)
    #expect(damage == [.trailingBytes: 1])
  }

  @Test func `Compressed data that is damaged in the middle gives what comes before`() throws {
    let plain = Self.pcap(little: true) { w in
      for index in 0..<50_000 {
        Self.record(&w, UInt32(index), UInt32(truncatingIfNeeded: index &* 7919), [UInt8(index & 255)])
      }
    }
    var bytes = Self.gzip(plain)
    for index in bytes.count / 2..<bytes.count / 2 + 64 { bytes[index] ^= 0xff }
    let (frames, damage) = try Self.read(bytes)
    #expect(frames.count > 100)
    #expect(frames.count < 50_000)
    #expect(damage[.compressedDataDamaged] == 1)
  }

  @Test func `A file that inflates a thousandfold takes no more memory than the window`() throws {
    let before = Self.residentPages()
    var plain = Self.pcap(little: true) { _ in }
    plain += [UInt8](repeating: 0, count: 64 << 20)
    let packed = Self.gzip(plain)
    plain = []
    #expect(packed.count < 100_000)
    var file = try CaptureFile(bytes: packed)
    let start = Self.residentPages()
    var count = 0
    while file.next({ _, _ in count += 1 }) {}
    #expect(count == 4 << 20)
    #expect(Self.residentPages() - start < 2048, "pages of 4 KiB more than at the start (\(before))")
  }

  private static func residentPages() -> Int {
    let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    return Int(text.split(separator: " ").dropFirst().first ?? "0") ?? 0
  }

  // MARK: Damage

  @Test func `Cut at each byte, a file gives the frames that are whole and traps nowhere`() throws {
    let classic = Self.pcap(little: true) {
      Self.record(&$0, 1, 0, [1, 2, 3])
      Self.record(&$0, 2, 0, [4])
    }
    for plain in [
      classic, Self.odd(little: true), Self.odd(little: false), Self.gzip(classic), Self.gzip(Self.odd(little: true)),
    ] {
      let whole = try Self.read(plain).frames
      for length in 0..<plain.count {
        guard let (frames, damage) = try? Self.read(Array(plain[..<length])) else {
          // No capture at all: only as long as the header is not there.
          #expect(length < 24 || plain[0] == 0x1f)
          continue
        }
        #expect(frames.elementsEqual(whole.prefix(frames.count)))
        #expect(frames.count < whole.count || damage.isEmpty || plain[0] == 0x1f, "cut to \(length)")
      }
    }
  }

  @Test func `Flipped bytes trap nowhere`() throws {
    for plain in [
      Self.odd(little: true), Self.gzip(Self.odd(little: true)),
      Self.pcap(little: false) { Self.record(&$0, 1, 2, [3, 4]) },
    ] {
      for index in plain.indices {
        for value: UInt8 in [0, 1, 0x7f, 0x80, 0xff] {
          var bytes = plain
          bytes[index] = value
          _ = try? Self.read(bytes)
        }
      }
    }
  }

  @Test(
    arguments: [
      [], [0xd4], Array("#!/bin/sh\necho a capture this is not\n".utf8), [UInt8](repeating: 0, count: 100),
      [0x1f, 0x8b], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
    ] as [[UInt8]]) func `What is no capture is refused`(_ bytes: [UInt8])
  {
    #expect(throws: CaptureFileError.notACapture("memory")) { _ = try Self.read(bytes) }
  }

  @Test func `Files are opened by path, and what is no file is refused`() throws {
    try inFolder { folder in
      let bytes = Self.odd(little: true)
      try Data(bytes).write(to: URL(fileURLWithPath: folder + "/a"))
      var file = try CaptureFile(path: folder + "/a")
      #expect(file.size == UInt64(bytes.count))
      #expect(Self.drain(&file).frames.count == 4)
      #expect(file.consumed == UInt64(bytes.count))
      shell("mkfifo '\(folder)/pipe'")
      for name in ["missing", "pipe", "."] {
        #expect(throws: CaptureFileError.self) { _ = try CaptureFile(path: folder + "/" + name) }
      }
    }
  }

  // MARK: The captures of others

  /// `../shared/captures` beside the checkout.
  private static let captures = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("shared/captures")

  @Test func `Every capture that is at hand is read, or its damage counted`() throws {
    guard let walk = FileManager.default.enumerator(at: Self.captures, includingPropertiesForKeys: nil) else { return }
    struct Row {
      var files = 0, frames = 0, ip = 0, damaged = 0, refused = 0
    }
    var rows: [String: Row] = [:]
    for case let url as URL in walk where url.lastPathComponent.contains("cap") && !url.hasDirectoryPath {
      let folder = url.deletingLastPathComponent().lastPathComponent
      rows[folder, default: Row()].files += 1
      do {
        var file = try CaptureFile(path: url.path)
        var frames = 0
        var ip = 0
        while file.next({ bytes, frame in
          frames += 1
          if case .ip(let offset, _) = LinkLayer.locate(bytes, linkType: frame.linkType) {
            ip += 1
            #expect(offset <= bytes.byteCount)
          }
        }) {}
        rows[folder]!.frames += frames
        rows[folder]!.ip += ip
        if file.isDamaged {
          rows[folder]!.damaged += 1
          if folder != "malformed" {
            print(
              "\(url.lastPathComponent): \(CaptureFile.Damage.allCases.filter { file.count($0) > 0 }.map(\.reason))")
          }
        }
      } catch {
        rows[folder]!.refused += 1
        #expect(folder == "malformed", "\(url.lastPathComponent): \(error)")
      }
    }
    guard !rows.isEmpty else { return print("skipped: no captures beside the checkout") }
    for (folder, row) in rows.sorted(by: { $0.key < $1.key }) {
      print(
        "\(folder): \(row.files) files, \(row.frames) frames, \(row.ip) with IP, \(row.damaged) damaged, \(row.refused) refused"
      )
    }
  }
}

extension RawSpan {
  fileprivate func unsafeByte(_ offset: Int) -> UInt8 { unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self) }
}
