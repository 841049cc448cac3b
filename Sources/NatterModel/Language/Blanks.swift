extension Substring {
    /// Without the spaces, tabs and carriage returns at its ends.
    public var withoutBlanks: Substring {
        var rest = self
        while let first = rest.first, first == " " || first == "\t" || first == "\r" { rest.removeFirst() }
        while let last = rest.last, last == " " || last == "\t" || last == "\r" { rest.removeLast() }
        return rest
    }
}
