/// A broken promise.
package struct Violation: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// Throws unless it holds.
package func demand(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws {
    if !holds { throw Violation(otherwise()) }
}
