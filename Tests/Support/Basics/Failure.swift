/// A test step that could not be done.
package struct Failure: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// The error of a call, or nil if it throws nothing.
package func failure<Failure: Error>(_ body: () throws(Failure) -> Void) -> Failure? {
    do throws(Failure) {
        try body()
        return nil
    } catch {
        return error
    }
}

/// Describes the first difference of two lists, or returns nil if they are equal. Printing a whole long list would hide
/// the difference.
package func difference(_ found: [String], _ expected: [String]) -> String? {
    if let index = zip(found, expected).enumerated().first(where: { $0.element.0 != $0.element.1 })?.offset {
        return "at \(index): '\(found[index])' for '\(expected[index])'"
    }
    return found.count == expected.count ? nil : "\(found.count) for \(expected.count)"
}
