import Wire

/// Decides what is done about a source. Pure: no clock, no I/O.
package struct ResponsePolicy: Sendable {
}
