# SPDX-License-Identifier: Apache-2.0
"""What ``scripts/benchmark_conv4d.py`` consists of: the methods that it compares, how it measures, and its sections."""
