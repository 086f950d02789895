# SPDX-License-Identifier: Apache-2.0
"""The shapes of the phantom: left ventricle, the rest of the heart, the chest, and where they lie in a patient."""
