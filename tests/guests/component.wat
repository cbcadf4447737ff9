;; Sin: is a component. Expected: rejected, saying that it is one.
(component)
