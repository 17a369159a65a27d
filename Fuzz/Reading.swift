import GeoIP
import Page
import Wire

/// What a browser, or something that looks like one, asks the page.
func fuzzHTTPRequest(_ bytes: [UInt8]) {
  guard case .request(let request) = HTTPRequest.parse(bytes) else { return }
  precondition(request.path.startsWithBytes("/"))
  precondition(bytes.count <= HTTPRequest.headLimit + HTTPRequest.bodyLimit)
}

/// A database of places in MaxMind's format.
func fuzzGeoDatabase(_ bytes: [UInt8]) {
  guard let database = try? GeoDatabase(bytes) else { return }
  for text in ["198.51.100.7", "2001:db8::7", "0.0.0.0", "ffff::"] { _ = database.place(of: IPAddress(text)!) }
}
