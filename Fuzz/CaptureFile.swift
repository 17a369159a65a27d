import Capture
import Wire

/// A whole capture file, its frames through the link layer.
func fuzzCaptureFile(_ bytes: [UInt8]) {
  guard var file = try? CaptureFile(bytes: bytes) else { return }
  var frames = 0
  while file.next({ frame, about in
    frames += 1
    precondition(frame.byteCount <= CaptureFile.maximumFrame)
    if case .ip(let offset, _) = LinkLayer.locate(frame, linkType: about.linkType) {
      precondition(offset <= frame.byteCount)
    }
  }) {}
  // gzip packs a thousandfold at most; a frame takes 16 bytes.
  precondition(frames <= bytes.count * 1100 / 16 + 1)
  precondition(!file.next { _, _ in })
}
