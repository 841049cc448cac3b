/// A binary heap, which has the element at hand that precedes all others.
public struct Heap<Element> {
    /// No element precedes the one at half its place.
    @usableFromInline var elements: [Element] = []
    @usableFromInline let precedes: @Sendable (Element, Element) -> Bool

    @inlinable public init(precedes: @escaping @Sendable (Element, Element) -> Bool) { self.precedes = precedes }

    @inlinable public var first: Element? { elements.first }

    @inlinable public mutating func insert(_ element: Element) {
        elements.append(element)
        var index = elements.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            guard precedes(elements[index], elements[parent]) else { return }
            elements.swapAt(index, parent)
            index = parent
        }
    }

    @inlinable public mutating func popFirst() -> Element? {
        guard let first = elements.first else { return nil }
        let last = elements.removeLast()
        guard !elements.isEmpty else { return first }
        elements[0] = last
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < elements.count {
                if precedes(elements[child], elements[least]) { least = child }
            }
            if least == index { return first }
            elements.swapAt(index, least)
            index = least
        }
    }
}
